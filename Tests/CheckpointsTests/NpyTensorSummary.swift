import Checkpoints
import SystemPackage
import TensorCore

/// A tensor as the tests compare it: what it is, and the SHA-256 of its little-endian row-major bytes.
struct NpyTensorSummary: Equatable, CustomStringConvertible {
    let name: String
    let dtype: String
    let shape: [Int]
    let sha256: String

    var description: String { "\(name) \(dtype) \(shape) \(sha256.prefix(8))" }

    init(name: String, dtype: String, shape: [Int], sha256: String) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.sha256 = sha256
    }

    /// Reads a tensor.
    init(_ reader: any CheckpointReader, _ index: Int) throws {
        let descriptor = reader.descriptors[index]
        name = descriptor.name.text
        dtype = descriptor.dtype.rawValue
        shape = descriptor.shape.dims
        sha256 = try reader.bytes(of: index).withUnsafeBytes { TensorDigest(of: $0).hexadecimal }
    }

    /// Reads every tensor.
    static func all(_ reader: any CheckpointReader) throws -> [NpyTensorSummary] {
        try reader.descriptors.indices.map { try NpyTensorSummary(reader, $0) }
    }

    /// Opens a file by its extension, reads every tensor and verifies it.
    static func readThrough(_ path: FilePath, options: ReadOptions = ReadOptions()) throws -> [NpyTensorSummary] {
        let reader: any CheckpointReader =
            path.extension == "npy"
            ? try NpyReader(opening: path, options: options) : try NpzReader(opening: path, options: options)
        return try all(reader)
    }
}

/// The whole of a small file.
func npyFileBytes(_ path: FilePath) throws -> [UInt8] {
    let file = try MappedFile(path)
    return Array(file.bytes)
}

/// The code of a refusal, or what else was thrown.
func npyRefusal(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch let error as FormatError {
        return error.category.rawValue
    } catch {
        return "\(error)"
    }
}
