import SystemPackage
import TensorCore

/// Where an array stands, for the errors about it.
struct NpySource {
    let file: FilePath
    /// The tensor that the array is; nil for a bare .npy file, which holds only one.
    let tensor: TensorName?
    /// The file position of the array's first byte; nil when it is compressed.
    let position: Int?

    /// An error at a place of the array.
    ///
    /// - Parameters:
    ///   - offset: counted from the array's first byte.
    ///   - isForeign: whether it may be sound and is no tensor.
    func error(
        _ category: FormatCategory, _ message: String, at offset: Int? = nil, hint: String? = nil,
        isForeign: Bool = false
    ) -> FormatError {
        FormatError(
            category, tensor.map { "array \"\($0)\" \(message)" } ?? "the array \(message)", file: file, tensor: tensor,
            byteOffset: position.map { $0 + (offset ?? 0) }, hint: hint, isForeign: isForeign)
    }
}
