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

    /// Whether anything is kept; the state after the last step is, so that an output whose record is missing can be told.
    public var keepsState: Bool { saveEvery != nil || resumes }
}
