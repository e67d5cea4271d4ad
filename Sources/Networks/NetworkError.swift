public import TensorCore

/// What is wrong with an architecture, a parameter vector, a head or a set of inputs.
public struct NetworkError: Diagnostic, Hashable {
    /// What the codes `network.*` stand for.
    public enum Kind: String, Sendable, CaseIterable {
        /// The architecture contradicts itself or exceeds what is supported.
        case badConfig = "bad_config"
        /// A parameter vector has not the length of the architecture.
        case parameterCount = "parameter_count"
        /// A head does not fit the backbone, or its own parts do not fit each other.
        case badHead = "bad_head"
        /// Images have the wrong size or number.
        case badImages = "bad_images"
        /// Texts have the wrong length or number, or a word is none of the vocabulary.
        case badTokens = "bad_tokens"
        /// Labels have the wrong number, or one lies outside of the head's classes.
        case badLabels = "bad_labels"
        /// There is no memory for the activations.
        case memory
    }

    public let kind: Kind
    public let message: String
    public let hint: String?

    public var code: String { "network.\(kind.rawValue)" }
    public var severity: DiagnosticSeverity { kind == .memory ? .resources : .badInput }

    public init(_ kind: Kind, _ message: String, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.hint = hint
    }

    package init(_ error: IOError) {
        self.init(.memory, error.message, hint: "use a smaller batch")
    }
}
