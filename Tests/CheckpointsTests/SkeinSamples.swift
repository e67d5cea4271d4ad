import Checkpoints
import Dispatch
import SystemPackage
import TensorCore
import TestSupport

/// A tensor with its bytes, as the tests of the format write and compare it.
struct SkeinSample: Equatable, Sendable {
    let descriptor: TensorDescriptor
    let bytes: [UInt8]

    var name: TensorName { descriptor.name }

    init(_ name: TensorName, _ dtype: DType, _ shape: Shape, _ bytes: [UInt8]) throws {
        descriptor = try TensorDescriptor(name: name, dtype: dtype, shape: shape)
        precondition(bytes.count == descriptor.byteCount)
        self.bytes = bytes
    }

    /// Elements made one by one from the little-endian words that a closure returns.
    init<Word: FixedWidthInteger>(
        _ name: TensorName, _ dtype: DType, _ shape: Shape, _ word: (Int) -> Word
    ) throws {
        let count = try shape.elementCount()
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count * MemoryLayout<Word>.size)
        for i in 0..<count { withUnsafeBytes(of: word(i).littleEndian) { bytes.append(contentsOf: $0) } }
        try self.init(name, dtype, shape, bytes)
    }

    /// Normal-looking weights of spread 0.02, cut to BF16 or as F32.
    static func weights(_ name: TensorName, _ dtype: DType, _ shape: Shape, seed: UInt64) throws -> SkeinSample {
        var random = SkeinRandom(seed: seed)
        return dtype == .bf16
            ? try SkeinSample(name, dtype, shape) { _ in UInt16(random.weight().bitPattern >> 16) }
            : try SkeinSample(name, dtype, shape) { _ in random.weight().bitPattern }
    }

    /// Random bytes.
    static func noise(_ name: TensorName, _ dtype: DType, _ shape: Shape, seed: UInt64) throws -> SkeinSample {
        var random = SkeinRandom(seed: seed)
        let count = try TensorDescriptor(name: name, dtype: dtype, shape: shape).byteCount
        return try SkeinSample(
            name, dtype, shape, (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 24) })
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct SkeinRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    mutating func below(_ limit: Int) -> Int { Int(next() % UInt64(limit)) }

    /// A sum of four uniform numbers, close to normal, of spread 0.02.
    mutating func weight() -> Float {
        var sum: Float = 0
        for _ in 0..<4 { sum += Float(next() >> 40) / Float(1 << 24) - 0.5 }
        return sum * 0.0346
    }
}

/// Writes samples whole, one after the other.
@discardableResult
func writeSkein(
    _ samples: [SkeinSample], to path: FilePath, _ options: SkeinOptions = SkeinOptions(),
    metadata: Metadata = Metadata()
) throws -> WrittenCheckpoint {
    let writer = try CheckpointFormat.makeWriter(
        .skein, at: path, declaring: samples.map(\.descriptor), metadata: metadata,
        options: WriteOptions(force: true, sync: false, skein: options))
    for (number, sample) in samples.enumerated() {
        try sample.bytes.withUnsafeBytes { try writer.write($0, tensor: number, at: 0) }
    }
    return try writer.finish()
}

/// Every tensor of a checkpoint.
func readAllSamples(_ reader: any CheckpointReader) throws -> [SkeinSample] {
    try reader.descriptors.indices.map { index in
        let descriptor = reader.descriptors[index]
        return try SkeinSample(
            descriptor.name, descriptor.dtype, descriptor.shape,
            try reader.bytes(of: index).withUnsafeBytes { Array($0) })
    }
}

func readSkein(_ path: FilePath, base: FilePath? = nil, threads: Int = 2) throws -> [SkeinSample] {
    try readAllSamples(SkeinReader(opening: path, options: ReadOptions(base: base, threads: threads)))
}

/// The code of the error that a closure throws; nil when it throws none.
func skeinRefusal(_ body: () throws -> Void) -> String? {
    do {
        try body()
        return nil
    } catch let error as any Diagnostic {
        return error.code
    } catch {
        return "\(error)"
    }
}
