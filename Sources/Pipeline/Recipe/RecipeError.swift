import SystemPackage
import TensorCore

/// A recipe that cannot be understood or carried out, with the line at fault.
public struct RecipeError: Diagnostic, Hashable {
    public let code: String
    public let message: String
    public let file: String?
    public let tensor: String?
    public let hint: String?
    public let details: DiagnosticTable?
    public let severity: DiagnosticSeverity
    /// The line in the recipe, counted from 1.
    public let line: Int?

    public init(_ code: Code, _ message: String, file: FilePath, line: Int? = nil, hint: String? = nil) {
        self.init(code: "recipe.\(code.rawValue)", message, file: file, line: line, hint: hint)
    }

    /// A fault that something else found in what the recipe says at a line; its code stays.
    public init(_ error: some Diagnostic, file: FilePath, line: Int?, hint: String? = nil) {
        self.init(
            code: error.code, error.message, file: file, line: line, tensor: error.tensor, hint: hint ?? error.hint,
            details: error.details, severity: error.severity)
    }

    /// A file that the recipe names and that is not there.
    init(notFound message: String, file: FilePath, line: Int?, hint: String?) {
        self.init(code: "io.not_found", message, file: file, line: line, hint: hint)
    }

    private init(
        code: String, _ message: String, file: FilePath, line: Int?, tensor: String? = nil, hint: String?,
        details: DiagnosticTable? = nil, severity: DiagnosticSeverity = .badInput
    ) {
        self.code = code
        self.message = line.map { "line \($0): \(message)" } ?? message
        self.file = file.string
        self.tensor = tensor
        self.hint = hint
        self.details = details
        self.severity = severity
        self.line = line
    }

    /// The kinds of fault; the raw value follows `recipe.` in an error code.
    public enum Code: String, Sendable, CaseIterable {
        case syntax
        case unknownKey = "unknown_key"
        case missingKey = "missing_key"
        case badValue = "bad_value"
        case duplicateName = "duplicate_name"
        /// Documents that need each other's results.
        case cycle
        case unsupported
    }
}
