import TensorCore

/// A conversion that cannot be done as asked.
public struct ConversionError: Diagnostic, Hashable {
    public let code: String
    public let message: String
    public let file: String?
    public let tensor: String?
    public let hint: String?
    public let severity: DiagnosticSeverity

    /// The command line asks for something that makes no sense.
    package static func usage(_ code: String, _ message: String, hint: String? = nil) -> ConversionError {
        ConversionError(
            code: "usage.\(code)", message: message, file: nil, tensor: nil, hint: hint, severity: .usage)
    }

    /// The input does not allow it.
    static func input(
        _ code: String, _ message: String, file: String? = nil, tensor: TensorName? = nil, hint: String? = nil
    ) -> ConversionError {
        ConversionError(
            code: "convert.\(code)", message: message, file: file, tensor: tensor?.description, hint: hint,
            severity: .badInput)
    }
}
