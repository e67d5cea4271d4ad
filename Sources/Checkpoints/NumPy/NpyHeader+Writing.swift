import SystemPackage
import TensorCore

extension NpyHeader {
    /// The header that `numpy.save` writes for a row-major array, byte for byte: version 1.0, room for the first dimension to grow,
    /// padded with spaces to a multiple of 64 bytes.
    ///
    /// - Returns: nil when NumPy has no such element type.
    static func encoded(dtype: DType, shape: Shape) -> [UInt8]? {
        guard let descr = dtype.numPyDescr else { return nil }
        let dims = shape.dims.map(String.init).joined(separator: ", ") + (shape.rank == 1 ? "," : "")
        var text = "{'descr': '\(descr)', 'fortran_order': False, 'shape': (\(dims)), }"
        if let first = shape.dims.first {
            text += String(repeating: " ", count: max(0, longestDimension - String(first).utf8.count))
        }
        let fixed = magic.count + 4
        let padding = 64 - (fixed + text.utf8.count + 1) % 64
        text += String(repeating: " ", count: padding) + "\n"
        let length = text.utf8.count
        return magic + [1, 0, UInt8(length & 0xFF), UInt8(length >> 8)] + Array(text.utf8)
    }

    /// The digits of 2^64 and a sign, for which NumPy keeps room.
    private static let longestDimension = 21

    /// Checks that NumPy can hold a tensor.
    ///
    /// - Throws: `FormatError` with `unsupported_dtype` or `bad_shape`.
    static func encoded(_ descriptor: TensorDescriptor, file: FilePath) throws(FormatError) -> [UInt8] {
        guard descriptor.shape.rank <= maximumRank else {
            throw FormatError(
                .badShape,
                "tensor \"\(descriptor.name)\" has \(descriptor.shape.rank) dimensions; NumPy allows \(maximumRank)",
                file: file, tensor: descriptor.name)
        }
        guard let header = encoded(dtype: descriptor.dtype, shape: descriptor.shape) else {
            throw FormatError(
                .unsupportedDtype,
                "tensor \"\(descriptor.name)\" is \(descriptor.dtype.rawValue), a type that NumPy does not have",
                file: file, tensor: descriptor.name, hint: "use `--upcast` to write it as F32, which is exact")
        }
        return header
    }
}
