import SystemPackage
import TensorCore

/// A backbone, head or data file that does not hold what the work needs.
public struct InputError: Diagnostic, Hashable {
    public let code: String
    public let message: String
    public let file: String?
    public let tensor: String?
    public let hint: String?

    public var severity: DiagnosticSeverity { .badInput }

    public init(
        _ code: Code, _ message: String, file: FilePath? = nil, tensor: TensorName? = nil, hint: String? = nil
    ) {
        self.code = "input.\(code.rawValue)"
        self.message = message
        self.file = file?.string
        self.tensor = tensor?.description
        self.hint = hint
    }

    /// The kinds of fault; the raw value follows `input.` in an error code.
    public enum Code: String, Sendable, CaseIterable {
        case missingConfig = "missing_config"
        case badConfig = "bad_config"
        case missingData = "missing_data"
        case missingHead = "missing_head"
        case missingTensor = "missing_tensor"
        case badShape = "bad_shape"
        case badDtype = "bad_dtype"
        case badValue = "bad_value"
        case badName = "bad_name"
        /// What another process is to make is not there yet.
        case notReady = "not_ready"
    }
}
