public import TensorCore

/// Why interference could not be measured or resolved.
public struct InterferenceError: Diagnostic, Hashable {
    /// What the codes `interference.*` stand for.
    public enum Kind: String, Sendable, CaseIterable {
        /// An option lies outside of its range.
        case badOption = "bad_option"
        /// The loss, the gradient or a weight became infinite or no number at all.
        case diverged
        /// Resolving takes more memory than is allowed.
        case memory
    }

    public let kind: Kind
    public let message: String
    /// The first tensor that is not finite, where one is at fault.
    public let tensor: String?
    public let hint: String?

    public var code: String { "interference.\(kind.rawValue)" }
    public var severity: DiagnosticSeverity {
        switch kind {
        case .badOption: .usage
        case .diverged: .badInput
        case .memory: .resources
        }
    }

    public init(_ kind: Kind, _ message: String, tensor: TensorName? = nil, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.tensor = tensor?.description
        self.hint = hint
    }
}
