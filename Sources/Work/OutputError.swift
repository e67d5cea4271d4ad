import TensorCore

/// An output that cannot be meant as it is written.
public struct OutputError: Diagnostic, Hashable {
    public let kind: Kind
    public let message: String
    public let hint: String?

    public var code: String { kind.code }
    public var severity: DiagnosticSeverity { .usage }

    /// The kinds of fault; the raw value follows `usage.` in an error code.
    public enum Kind: String, Sendable, CaseIterable {
        case format = "output_format"
        case shardSize = "shard_size"
        case reportFormat = "report_format"
        /// Two reports would go to one file.
        case sameReport = "same_report"
        /// A merge cannot be cut in so many parts, or not at all.
        case parts

        package var code: String { "usage.\(rawValue)" }
    }

    public init(_ kind: Kind, _ message: String, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.hint = hint
    }
}
