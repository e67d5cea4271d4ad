import SystemPackage
import TensorCore

/// Something in a recipe that is ignored, or that may be meant otherwise.
public struct RecipeWarning: Sendable, Hashable {
    /// One sentence without the place.
    let problem: String
    public let file: FilePath
    public let position: TextPosition?

    init(_ problem: String, file: FilePath, at position: TextPosition?) {
        self.problem = problem
        self.file = file
        self.position = position
    }

    /// The sentence behind the line, as messages of errors begin, too.
    public var message: String { position.map { "line \($0.line): \(problem)" } ?? problem }
}
