import SystemPackage
import TensorCore

/// Work that was handed to a cluster and did not get done.
public struct ClusterError: Diagnostic, Hashable {
    public let kind: Kind
    public let message: String
    public let file: String?
    public let hint: String?
    public let severity: DiagnosticSeverity
    public var code: String { kind.code }

    /// The kinds of fault; the raw value follows `cluster.` in an error code.
    public enum Kind: String, Sendable, CaseIterable {
        /// Slurm is not there, or does not answer.
        case unavailable
        /// Slurm did not take the work.
        case submission
        case taskFailed = "task_failed"

        package var code: String { "cluster.\(rawValue)" }
    }

    init(
        _ kind: Kind, _ message: String, file: FilePath? = nil, hint: String? = nil,
        severity: DiagnosticSeverity = .resources
    ) {
        self.kind = kind
        self.message = message
        self.file = file?.string
        self.hint = hint
        self.severity = severity
    }
}
