/// How work that may be interrupted is kept, and gone on with.
public struct Resumption: Sendable, Hashable {
    /// How many steps lie between two states that are kept; nil keeps none on the way.
    public var saveEvery: Int?
    /// Whether finished experts are taken as done, and the others go on from the state that an interrupted run has kept.
    public var resumes: Bool

    public init(saveEvery: Int? = nil, resumes: Bool = false) {
        self.saveEvery = saveEvery
        self.resumes = resumes
    }

    /// Whether states are kept: those on the way as often as is asked for, and the one after the last step.
    public var keepsState: Bool { saveEvery != nil || resumes }
}
