import Checkpoints
import Kernels
import Merging
import Synchronization
import SystemPackage
import Reporting
import TensorCore
import TestSupport
import Testing

/// A named tensor with its values, for making and reading small models.
struct TestTensor {
    let name: TensorName
    let dtype: DType
    let shape: Shape
    /// Whole numbers for types that do not compute: the bits of an element.
    let values: [Double]

    init(_ name: TensorName, _ values: [Double], shape: Shape? = nil, dtype: DType = .f32) {
        self.name = name
        self.dtype = dtype
        self.shape = shape ?? [values.count]
        self.values = values
    }
}

func makeModel(_ tensors: [TestTensor]) throws -> TensorStore {
    let parts = try tensors.map { tensor in
        let descriptor = try TensorDescriptor(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape)
        let data = try AlignedBuffer(byteCount: descriptor.byteCount)
        if tensor.dtype.isComputable {
            _ = tensor.values.withUnsafeBytes { cast($0, from: .f64, to: data.mutableBytes, as: tensor.dtype) }
        } else {
            let width = tensor.dtype.bitWidth / 8
            for (i, value) in tensor.values.enumerated() {
                withUnsafeBytes(of: Int64(value).littleEndian) { bytes in
                    data.mutableBytes[(i * width)..<((i + 1) * width)].copyBytes(from: bytes[..<width])
                }
            }
        }
        return (descriptor: descriptor, data: data)
    }
    return TensorStore(MemoryCheckpoint(tensors: parts))
}

extension TensorStore {
    /// The values of a floating-point tensor.
    func values(_ name: TensorName) throws -> [Double] {
        let place = try #require(index(of: name))
        let descriptor = descriptors[place]
        var values = [Double](repeating: 0, count: descriptor.elementCount)
        try reader.bytes(of: place).withUnsafeBytes { bytes in
            values.withUnsafeMutableBufferPointer { widen(bytes, descriptor.dtype, into: $0) }
        }
        return values
    }

    func rawBytes(_ name: TensorName) throws -> [UInt8] {
        try #require(try bytes(of: name)).withUnsafeBytes { Array($0) }
    }

    /// Every tensor's bytes, one after the other.
    func allBytes() throws -> [UInt8] { try descriptors.flatMap { try rawBytes($0.name) } }
}

struct Merged {
    let store: TensorStore
    let plan: MergePlan
    let report: MergeReport
}

func merge(
    _ method: String, base: TensorStore?, _ experts: [TensorStore], _ parameters: MergeParameters = MergeParameters(),
    selection: TensorSelection = TensorSelection(), keepBase: [String] = [], outputDType: DType? = nil,
    threads: Int = 2, memory: Int? = nil
) throws -> Merged {
    let plan = try MergePlan(
        method: try MergeMethods.named(method), base: base,
        experts: experts.enumerated().map { (name: "expert \($0 + 1)", store: $1) }, parameters: parameters,
        selection: selection, keepBase: TensorPatterns(keepBase), outputDType: outputDType,
        budget: ComputeBudget(threads: threads), memory: memory)
    let writer = try MemoryCheckpointWriter(declaring: plan.outputs)
    let report = try plan.execute(into: writer)
    _ = try writer.finish()
    return Merged(store: TensorStore(try #require(writer.checkpoint)), plan: plan, report: report)
}

/// Merges within the least memory that a refusal names.
func mergeInLeastMemory(
    _ method: String, base: TensorStore?, _ experts: [TensorStore], _ parameters: MergeParameters, threads: Int
) throws -> Merged {
    let refusal = try #require(throws: MergeError.self) {
        _ = try merge(method, base: base, experts, parameters, threads: threads, memory: 1)
    }
    #expect(refusal.code == "merge.memory")
    let least = try #require(ByteSize(parsing: String(refusal.hint?.split(separator: " ").last ?? "")))
    let merged = try merge(method, base: base, experts, parameters, threads: threads, memory: least.byteCount)
    #expect(merged.plan.summary.workingByteCount <= least.byteCount)
    return merged
}

func fixture(_ path: String) throws -> TensorStore {
    try TensorStore(opening: Fixtures.path("parity/\(path).safetensors"))
}

/// The largest difference between tensors of the same names, by tensor.
func differences(_ a: TensorStore, _ b: TensorStore, plus base: TensorStore? = nil) throws -> [TensorName: Double] {
    var result: [TensorName: Double] = [:]
    for descriptor in b.descriptors where descriptor.dtype.isComputable {
        let origin = try base?.values(descriptor.name)
        let x = try a.values(descriptor.name)
        let y = try b.values(descriptor.name)
        #expect(x.count == y.count)
        result[descriptor.name] =
            zip(x, y).enumerated().map { i, pair in
                let difference = abs(pair.0 - pair.1 - (origin?[i] ?? 0))
                return difference.isNaN ? .infinity : difference
            }.max() ?? 0
    }
    return result
}

/// Uniform numbers from -0.5 to 0.5, the same on every run.
struct TestNumbers {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> Double {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Double(state >> 11) / Double(1 << 53) - 0.5
    }

    mutating func list(_ count: Int, scale: Double = 1) -> [Double] { (0..<count).map { _ in next() * scale } }
}

/// Hands out copies, as a reader of compressed files does, and counts them.
final class DecodingReader: CheckpointReader {
    private let reader: any CheckpointReader
    private let count = Mutex(0)

    init(_ reader: any CheckpointReader) { self.reader = reader }

    var readCount: Int { count.withLock { $0 } }
    var format: FormatID { reader.format }
    var path: FilePath { reader.path }
    var files: [FilePath] { reader.files }
    var descriptors: [TensorDescriptor] { reader.descriptors }
    var metadata: Metadata { reader.metadata }
    var warnings: [Warning] { [] }
    func isMapped(_ index: Int) -> Bool { false }
    func location(of index: Int) -> StoredLocation { reader.location(of: index) }
    func verify(deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void) throws -> Verification {
        try reader.verify(deep: deep, threads: threads, progress: progress)
    }
    func bytes(of index: Int) throws -> TensorBytes {
        count.withLock { $0 += 1 }
        let copy = try AlignedBuffer(byteCount: descriptors[index].byteCount)
        try reader.bytes(of: index).withUnsafeBytes { copy.mutableBytes.copyMemory(from: $0) }
        return TensorBytes(decoded: copy)
    }
}
