import Checkpoints
import Glibc
import SystemPackage
import TensorCore

extension FilePath {
    /// The bytes of a file.
    func contents() throws -> [UInt8] { try MappedFile(self).withUnsafeBytes(Array.init) }

    /// The names in a folder, sorted.
    func listing() -> [String] {
        guard let folder = opendir(string) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    var isThere: Bool { access(string, F_OK) == 0 }
}

/// A safetensors file from a header text and data.
func safetensorsFile(_ header: String, data: [UInt8] = []) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian, Array.init) + header.utf8 + data
}

/// Writes whole tensors with a writer and finishes it.
@discardableResult
func write(_ tensors: [[UInt8]], with writer: any CheckpointWriter) throws -> WrittenCheckpoint {
    for (index, bytes) in tensors.enumerated() {
        try bytes.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
    }
    return try writer.finish()
}

extension TensorStore {
    /// A copy of a tensor's bytes.
    func copy(of name: TensorName) throws -> [UInt8]? { try bytes(of: name)?.withUnsafeBytes(Array.init) }
}

/// Repeatable numbers: a linear congruential generator with the constants of MMIX.
struct Noise: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return (state >> 33) ^ (state << 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next() >> 20) } }
}
