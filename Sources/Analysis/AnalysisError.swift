import TensorCore

/// Why models cannot be analysed together.
public struct AnalysisError: Diagnostic, Hashable {
    public let reason: Reason
    public let message: String
    public let tensor: String?
    public let hint: String?

    public var code: String { "analysis.\(reason.rawValue)" }
    public var severity: DiagnosticSeverity {
        switch reason {
        case .badOption: .usage
        case .incompatible, .notConverged: .badInput
        case .memory: .resources
        }
    }

    /// The kinds of fault; the raw value follows `analysis.` in an error code.
    public enum Reason: String, Sendable, CaseIterable {
        case badOption = "bad_option"
        /// Names or shapes of the models do not fit together.
        case incompatible
        case notConverged = "not_converged"
        /// A matrix is too large to decompose.
        case memory
    }

    init(_ reason: Reason, _ message: String, tensor: TensorName? = nil, hint: String? = nil) {
        self.reason = reason
        self.message = message
        self.tensor = tensor?.description
        self.hint = hint
    }
}
