import Checkpoints
import Glibc
import Kernels
import SystemPackage
import TensorCore

/// Checkpoints with numbers like weights, in a folder that is removed afterwards.
final class SyntheticFolder {
    let path: FilePath
    private var files: [FilePath] = []

    init(_ options: BenchmarkOptions) throws {
        path = FilePath(options.text("folder", default: "/tmp")).appending("untangle-bench-\(getpid())")
        guard mkdir(path.string, 0o700) == 0 else {
            throw IOError(Errno(rawValue: errno), action: "make the folder \(path.string)", path: path)
        }
    }

    deinit {
        for file in files { unlink(file.string) }
        rmdir(path.string)
    }

    /// A path in the folder; what is written there is removed with it.
    func file(_ name: String) -> FilePath {
        let file = path.appending(name)
        files.append(file)
        return file
    }

    /// Writes a checkpoint of square matrices around 0.02.
    ///
    /// - Parameters:
    ///   - seed: experts of different seeds are `base` plus changes a hundredth as large.
    func checkpoint(_ name: String, byteCount: Int, dtype: DType, width: Int, seed: UInt64) throws -> FilePath {
        let count = max(1, byteCount / (width * width * dtype.bitWidth / 8))
        return try checkpoint(
            name, dtype: dtype, shapes: Array(repeating: [width, width], count: count), seed: seed)
    }

    /// The same with matrices of given shapes.
    func checkpoint(_ name: String, dtype: DType, shapes: [Shape], seed: UInt64) throws -> FilePath {
        let path = file(name)
        let descriptors = try shapes.enumerated().map {
            try TensorDescriptor(name: TensorName("blocks.\($0).weight"), dtype: dtype, shape: $1)
        }
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: path, declaring: descriptors, options: WriteOptions(sync: false))
        for (index, descriptor) in descriptors.enumerated() {
            let values = try FloatBuffer(count: descriptor.elementCount)
            let bytes = try AlignedBuffer(byteCount: descriptor.byteCount)
            let base = CounterGenerator(seed: 0, stream: UInt64(index))
            let change = CounterGenerator(seed: seed, stream: UInt64(index))
            for i in 0..<descriptor.elementCount {
                values.pointer[i] =
                    0.02 * Self.spread(base, i) + (seed == 0 ? 0 : 0.0002 * Self.spread(change, i))
            }
            narrow(UnsafeBufferPointer(values.values), into: bytes.mutableBytes, as: dtype)
            try writer.write(bytes.bytes, tensor: index, at: 0)
        }
        _ = try writer.finish()
        return path
    }

    /// Between -1 and 1.
    private static func spread(_ generator: CounterGenerator, _ index: Int) -> Float {
        Float(generator.below(1 << 20, UInt64(index))) / Float(1 << 19) - 1
    }
}

/// Copies a file as `cp` does, then waits for the disk: the floor for anything that reads a file and writes as much.
func copyAndFlush(_ source: FilePath, to target: FilePath) throws {
    let input = try FileDescriptor.open(source, .readOnly)
    defer { try? input.close() }
    let output = try FileDescriptor.open(
        target, .writeOnly, options: [.create, .truncate], permissions: .ownerReadWrite)
    defer { try? output.close() }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let count = try buffer.withUnsafeMutableBytes { try input.read(into: $0) }
        guard count > 0 else { break }
        _ = try buffer.withUnsafeBytes { try output.writeAll($0.prefix(count)) }
    }
    fsync(output.rawValue)
}
