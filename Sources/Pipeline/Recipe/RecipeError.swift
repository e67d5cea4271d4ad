import SystemPackage
import TensorCore

/// A recipe that cannot be understood, with the line at fault.
public struct RecipeError: Diagnostic, Hashable {
    public let code: String
    public let message: String
    public let file: String?
    public let hint: String?
    /// The line in the recipe, counted from 1.
    public let line: Int?

    public var severity: DiagnosticSeverity { .badInput }

    public init(_ code: Code, _ message: String, file: FilePath, line: Int? = nil, hint: String? = nil) {
        self.code = "recipe.\(code.rawValue)"
        self.message = line.map { "line \($0): \(message)" } ?? message
        self.file = file.string
        self.hint = hint
        self.line = line
    }

    /// The kinds of fault; the raw value follows `recipe.` in an error code.
    public enum Code: String, Sendable, CaseIterable {
        case syntax
        case unknownKey = "unknown_key"
        case missingKey = "missing_key"
        case badValue = "bad_value"
        case duplicateName = "duplicate_name"
        case unsupported
    }
}
