public import TensorCore

/// Why interference could not be measured or resolved.
public struct InterferenceError: Diagnostic, Hashable {
    /// What the codes `interference.*` stand for.
    public enum Kind: String, Sendable, CaseIterable {
        /// An option lies outside of its range.
        case badOption = "bad_option"
        /// The loss became infinite or no number at all.
        case diverged
    }

    public let kind: Kind
    public let message: String
    public let hint: String?

    public var code: String { "interference.\(kind.rawValue)" }
    public var severity: DiagnosticSeverity {
        switch kind {
        case .badOption: .usage
        case .diverged: .badInput
        }
    }

    public init(_ kind: Kind, _ message: String, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.hint = hint
    }
}
