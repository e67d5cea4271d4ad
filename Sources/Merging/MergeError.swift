import Checkpoints
import TensorCore

/// Why a merge cannot be planned or carried out.
public struct MergeError: Diagnostic, Hashable {
    public let reason: Reason
    public let message: String
    public let tensor: String?
    public let hint: String?
    /// The parameter at fault, where one is.
    package let parameter: String?
    /// Every difference between models that do not fit together.
    public package(set) var details: DiagnosticTable?

    public var code: String { "merge.\(reason.rawValue)" }
    public var severity: DiagnosticSeverity {
        switch reason {
        case .unknownMethod, .unknownParameter, .badParameter, .missingBase, .tooFewExperts, .tooManyExperts,
            .needsWeights, .unsupportedDtype:
            .usage
        case .incompatible, .differentBuffers, .nothingSelected, .statistics, .notFinite, .notConverged, .missingPart,
            .differentPart:
            .badInput
        case .memory: .resources
        }
    }

    /// The kinds of fault; the raw value follows `merge.` in an error code.
    public enum Reason: String, Sendable, CaseIterable {
        case unknownMethod = "unknown_method"
        case unknownParameter = "unknown_parameter"
        case badParameter = "bad_parameter"
        case missingBase = "missing_base"
        case tooFewExperts = "too_few_experts"
        case tooManyExperts = "too_many_experts"
        /// The method merges weights, and factors of adapters are given.
        case needsWeights = "needs_weights"
        /// Names, shapes or dtypes of the models do not fit together.
        case incompatible
        /// Tensors that carry no arithmetic, such as integers, differ.
        case differentBuffers = "different_buffers"
        /// Patterns leave no tensor.
        case nothingSelected = "nothing_selected"
        case unsupportedDtype = "unsupported_dtype"
        /// Statistics of the experts' data are missing or do not fit the models.
        case statistics
        /// One tensor of a matrix method needs more than the memory allowed.
        case memory
        /// A matrix that is to be decomposed holds NaN or infinity.
        case notFinite = "not_finite"
        case notConverged = "not_converged"
        /// Parts of a merge that are to be joined are not all there, or not of one merge.
        case missingPart = "missing_part"
        case differentPart = "different_part"
    }

    package init(
        _ reason: Reason, _ message: String, tensor: TensorName? = nil, parameter: String? = nil, hint: String? = nil
    ) {
        self.reason = reason
        self.message = message
        self.tensor = tensor?.description
        self.hint = hint
        self.parameter = parameter
    }
}
