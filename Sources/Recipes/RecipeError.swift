import SystemPackage
import TensorCore

/// A recipe that cannot be understood or carried out, with the place at fault.
public struct RecipeError: Diagnostic, Hashable {
    public let code: String
    public let message: String
    public let file: String?
    public let tensor: String?
    public let hint: String?
    public let details: DiagnosticTable?
    public let severity: DiagnosticSeverity
    /// The byte at fault, where a recipe is no text.
    public let byteOffset: UInt64?
    /// The place in the recipe, with whose line the message begins.
    public let position: TextPosition?

    /// The line in the recipe, counted from 1.
    public var line: Int? { position?.line }

    public init(
        _ code: Code, _ message: String, file: FilePath, at position: TextPosition? = nil, byteOffset: Int? = nil,
        hint: String? = nil
    ) {
        self.init(
            code: "recipe.\(code.rawValue)", message, file: file, at: position, byteOffset: byteOffset, hint: hint)
    }

    /// A fault that something else found in what the recipe says at a place; its code stays.
    public init(_ error: some Diagnostic, file: FilePath, at position: TextPosition?, hint: String? = nil) {
        self.init(
            code: error.code, error.message, file: file, at: position, tensor: error.tensor, hint: hint ?? error.hint,
            details: error.details, severity: error.severity)
    }

    /// A file that the recipe names and that is not there.
    init(notFound message: String, file: FilePath, at position: TextPosition?, hint: String?) {
        self.init(code: IOError.Kind.notFound.code, message, file: file, at: position, hint: hint)
    }

    private init(
        code: String, _ message: String, file: FilePath, at position: TextPosition?, byteOffset: Int? = nil,
        tensor: String? = nil, hint: String?, details: DiagnosticTable? = nil,
        severity: DiagnosticSeverity = .badInput
    ) {
        self.code = code
        self.message = position.map { "line \($0.line): \(message)" } ?? message
        self.file = file.string
        self.tensor = tensor
        self.hint = hint
        self.details = details
        self.severity = severity
        self.byteOffset = byteOffset.map(UInt64.init)
        self.position = position
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
