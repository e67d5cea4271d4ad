import SystemPackage
import TensorCore

/// A backbone, head or data file that does not hold what the work needs.
public struct InputError: Diagnostic, Hashable {
    public let code: String
    public let message: String
    public let file: String?
    public let tensor: String?
    public let byteOffset: UInt64?
    public let position: TextPosition?
    public private(set) var hint: String?
    public let severity: DiagnosticSeverity

    public init(
        _ code: Code, _ message: String, file: FilePath? = nil, tensor: TensorName? = nil, byteOffset: Int? = nil,
        position: TextPosition? = nil, hint: String? = nil
    ) {
        self.code = "input.\(code.rawValue)"
        self.message = message
        self.file = file?.string
        self.tensor = tensor?.description
        self.byteOffset = byteOffset.flatMap { UInt64(exactly: $0) }
        self.position = position
        self.hint = hint
        severity = .badInput
    }

    /// Says of a part of a file what was found wrong with it, under the code of who found it.
    ///
    /// - Parameter item: what the part is called.
    package init(_ error: any Diagnostic, in file: FilePath, item: String) {
        code = error.code
        message = "\(item): \(error.message)"
        self.file = file.string
        tensor = nil
        byteOffset = error.byteOffset
        position = error.position
        hint = error.hint
        severity = error.severity
    }

    /// The error with another hint.
    package func hinting(_ hint: String) -> InputError {
        var error = self
        error.hint = hint
        return error
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
        /// Two tensors would have one name.
        case duplicateName = "duplicate_name"
        /// An archive is none or is damaged, or a member is none that a data set has.
        case badArchive = "bad_archive"
        /// A line of a text file is not what its format has.
        case badText = "bad_text"
        /// There is no tokenizer beside a model of texts, or it belongs to another one.
        case badTokenizer = "bad_tokenizer"
        /// What another process is to make is not there yet.
        case notReady = "not_ready"
    }
}
