package import TensorCore

/// A picture that cannot be decoded. The message names no file: whoever read the bytes knows where they come from.
package struct PictureError: Diagnostic, Hashable {
    /// What the codes `picture.*` stand for.
    package enum Kind: String, Sendable, CaseIterable {
        /// The bytes begin like no format that is decoded.
        case unknownFormat = "unknown_format"
        /// The bytes end too early.
        case truncated
        /// The bytes break the rules of their format.
        case damaged
        /// The header announces more pixels than are allowed, or than there is memory for.
        case tooLarge = "too_large"
        /// A form of the format that its library does not decode.
        case unsupported
    }

    package let kind: Kind
    package let message: String
    package let hint: String?

    package var code: String { "picture.\(kind.rawValue)" }
    package var severity: DiagnosticSeverity { .badInput }

    package init(_ kind: Kind, _ message: String, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.hint = hint
    }
}
