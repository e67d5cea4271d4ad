import TensorCore

/// A rule for names of tensors that makes no sense.
public struct RenameError: Diagnostic, Hashable {
    public let kind: Kind
    public let message: String
    public let hint: String?

    public var code: String { "usage.\(kind.rawValue)" }
    public var severity: DiagnosticSeverity { .usage }

    /// The kinds of rule; the raw value follows `usage.` in an error code.
    public enum Kind: String, Sendable, CaseIterable {
        case rename
        case map
    }

    init(_ kind: Kind, _ message: String, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.hint = hint
    }
}
