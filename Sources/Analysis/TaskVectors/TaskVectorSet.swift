import Checkpoints
import Kernels
import TensorCore

/// The differences between experts and the base that they were trained from.
///
/// Only tensors of F16, BF16, F32 and F64 have a task vector. It is held in F32; from F64 it is taken in F64 and rounded.
public struct TaskVectorSet: Sendable {
    /// The tensors that have a task vector, as in the base.
    public let tensors: [TensorDescriptor]
    /// Tensors of the selection that hold weights and have no task vector.
    public let notMeasured: [UnmeasuredTensors]
    public let names: [String]
    public let base: TensorStore
    public let experts: [TensorStore]
    /// Bytes of decoded tensors that are held at a time, unless one alone is larger.
    private var batchByteCount = 256 << 20

    /// Checks that every expert has the base's tensors in their shapes.
    ///
    /// Buffers that architectures compute for themselves may be missing or differ; they have no task vector then.
    ///
    /// - Throws: `AnalysisError` `analysis.incompatible` with all differences at once; `WeightsError` when only some models are
    ///   quantised, or tensors are factors of adapters.
    public init(
        base: TensorStore, experts: [(name: String, store: TensorStore)], selection: TensorSelection = TensorSelection()
    ) throws {
        let models = [(name: "the base", store: base)] + experts
        let selected = models.map { $0.store.descriptors.filter { selection.contains($0.name) } }
        let parts = try WeightsError.check(models, of: Set(selected.joined().map(\.name)))
        func isOptional(_ tensor: TensorDescriptor) -> Bool {
            parts.names.contains(tensor.name) || !tensor.dtype.isComputable || ComputedBuffer.isOne(tensor)
        }
        var differences: [String] = []
        var skipped: Set<TensorName> = []
        for (name, store) in experts {
            for tensor in selected[0] where tensor.dtype.isComputable && !parts.names.contains(tensor.name) {
                let other = store.descriptor(named: tensor.name)
                if let other, other.shape == tensor.shape, other.dtype.isComputable { continue }
                if ComputedBuffer.isOne(tensor) {
                    skipped.insert(tensor.name)
                    continue
                }
                guard let other else {
                    differences.append("tensor \"\(tensor.name)\" is in the base, not in \(name)")
                    continue
                }
                if other.shape != tensor.shape {
                    differences.append(
                        "tensor \"\(tensor.name)\" has shape \(tensor.shape) in the base, \(other.shape) in \(name)")
                } else {
                    differences.append(
                        "tensor \"\(tensor.name)\" has type \(tensor.dtype.rawValue) in the base, \(other.dtype.rawValue) in \(name)"
                    )
                }
            }
            for other in store.descriptors where selection.contains(other.name) && !isOptional(other) {
                if base.index(of: other.name) == nil {
                    differences.append("tensor \"\(other.name)\" is in \(name), not in the base")
                }
            }
        }
        guard differences.isEmpty else {
            let shown = differences.prefix(3).joined(separator: "; ")
            let rest = differences.count > 3 ? "; and \(differences.count - 3) more" : ""
            throw AnalysisError(
                .incompatible, "the models do not fit together: \(shown)\(rest)",
                hint: MapSuggestion.options(
                    of: selected.dropFirst().map { MapSuggestion(for: $0, toMatch: selected[0]) }
                ).map { "most names match with \($0)" }
                    ?? "leave tensors out with --exclude, or check that all experts come from this base")
        }
        tensors = selected[0].filter {
            $0.dtype.isComputable && !parts.names.contains($0.name) && !skipped.contains($0.name)
        }
        notMeasured = UnmeasuredTensors.all(in: selected[0], parts: parts.names, quantization: parts.quantization)
        self.base = base
        self.experts = experts.map(\.store)
        names = experts.map(\.name)
    }

    /// Gathers the tensors of a base and its experts.
    ///
    /// - Precondition: the experts have the tensors.
    init(tensors: [TensorDescriptor], names: [String], base: TensorStore, experts: [TensorStore]) {
        self.tensors = tensors
        notMeasured = []
        self.names = names
        self.base = base
        self.experts = experts
    }

    /// All parameters that have a task vector.
    public var parameterCount: Int { tensors.reduce(0) { $0 + $1.elementCount } }

    /// The bytes of one tensor in the base and every expert.
    func load(_ tensor: Int) throws -> LoadedTaskVector {
        let name = tensors[tensor].name
        return LoadedTaskVector(
            tensor: tensor, elementCount: tensors[tensor].elementCount,
            base: try Self.bytes(of: name, in: base), experts: try experts.map { try Self.bytes(of: name, in: $0) })
    }

    /// The file in which a model has a tensor; the base is the first model, then come the experts.
    func file(of tensor: TensorName, model: Int) -> String {
        let store = model == 0 ? base : experts[model - 1]
        guard let place = store.index(of: tensor) else { preconditionFailure("checked when the set was made") }
        return store.reader.location(of: place).file.string
    }

    private static func bytes(of name: TensorName, in store: TensorStore) throws -> (TensorBytes, DType) {
        guard let place = store.index(of: name) else { preconditionFailure("checked when the set was made") }
        return (try store.reader.bytes(of: place), store.descriptors[place].dtype)
    }

    /// Bounds the memory for decoded tensors.
    ///
    /// - Throws: `IOError` `io.memory` when a tensor of all models together takes more.
    public mutating func setMemory(_ byteCount: Int) throws(IOError) {
        for (place, tensor) in tensors.enumerated() {
            guard let index = base.index(of: tensor.name) else { continue }
            try base.reader.requireMemory(byteCount, for: decodedByteCount(place), toDecode: index)
        }
        batchByteCount = min(batchByteCount, byteCount)
    }

    /// Memory that `load` takes for tensors that are not mapped.
    func decodedByteCount(_ tensor: Int) -> Int {
        ([base] + experts).reduce(0) { sum, store in
            guard let place = store.index(of: tensors[tensor].name) else { return sum }
            return sum + store.reader.decodedByteCount(of: place)
        }
    }

    /// Works on all chunks of all tensors in parallel; results come in the order of tensors and chunks.
    func mapChunks<R: Sendable>(
        threads: Int, _ body: @Sendable (LoadedTaskVector, Range<Int>) throws -> R
    ) throws -> [(tensor: Int, result: R)] {
        var results: [(tensor: Int, result: R)] = []
        var next = 0
        while next < tensors.count {
            var batch: [LoadedTaskVector] = []
            var decoded = 0
            repeat {
                decoded += decodedByteCount(next)
                batch.append(try load(next))
                next += 1
            } while next < tensors.count && decoded + decodedByteCount(next) <= batchByteCount
            let loaded = batch
            let chunks = loaded.indices.flatMap { place in loaded[place].chunks.map { (place, $0) } }
            let found = try parallelMap(count: chunks.count, threads: threads) { number in
                try body(loaded[chunks[number].0], chunks[number].1)
            }
            results += zip(chunks, found).map { (tensor: loaded[$0.0].tensor, result: $1) }
        }
        return results
    }

}

/// One tensor of the base and of every expert, in memory or mapped.
struct LoadedTaskVector: Sendable {
    let tensor: Int
    let elementCount: Int
    let base: (bytes: TensorBytes, dtype: DType)
    let experts: [(bytes: TensorBytes, dtype: DType)]

    /// Elements that are worked on at a time: a row of them is 16 KiB.
    static let blockCapacity = 4096

    /// Runs of elements whose borders depend on the tensor alone.
    var chunks: [Range<Int>] { chunkRanges(of: 0..<elementCount, by: 1 << 20) }

    /// Reads the base, in F32.
    func readBase(_ range: Range<Int>, into values: UnsafeMutablePointer<Float>) {
        Self.read(base, range, into: values)
    }

    /// Reads the task vector of an expert, θ_i − θ₀.
    ///
    /// - Precondition: the range has at most `blockCapacity` elements.
    func readTaskVector(of expert: Int, _ range: Range<Int>, into values: UnsafeMutablePointer<Float>) {
        if base.dtype == .f64 || experts[expert].dtype == .f64 {
            withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * range.count) { memory in
                let wide = memory.baseAddress!
                readDifference(of: expert, range, into: wide, baseValues: wide + range.count)
                for i in 0..<range.count { values[i] = Float(wide[i]) }
            }
        } else {
            withUnsafeTemporaryAllocation(of: Float.self, capacity: range.count) { memory in
                readDifference(of: expert, range, into: values, baseValues: memory.baseAddress!)
            }
        }
    }

    /// The same, given the base in F32; equal infinities make NaN.
    func readTaskVector(
        of expert: Int, _ range: Range<Int>, base values: UnsafePointer<Float>, into row: UnsafeMutablePointer<Float>
    ) {
        guard base.dtype != .f64, experts[expert].dtype != .f64 else {
            return readTaskVector(of: expert, range, into: row)
        }
        guard experts[expert].dtype == .f32 else {
            Self.read(experts[expert], range, into: row)
            return subtract(values, from: row, count: range.count)
        }
        experts[expert].bytes.withUnsafeBytes { bytes in
            let part = bytes[4 * range.lowerBound..<4 * range.upperBound]
            subtract(values, fromStored: UnsafeRawBufferPointer(rebasing: part), into: row)
        }
    }

    /// The task vector of an expert in some runs of elements, one after the other.
    func taskVector(of expert: Int, _ runs: [Range<Int>]) -> [Float] {
        base.dtype == .f64 || experts[expert].dtype == .f64
            ? difference(of: expert, runs, in: Double.self).map { Float($0) }
            : difference(of: expert, runs, in: Float.self)
    }

    private func difference<T: ElementwiseScalar>(of expert: Int, _ runs: [Range<Int>], in type: T.Type) -> [T] {
        var values: [T] = Self.gather(experts[expert], runs)
        let origins: [T] = Self.gather(base, runs)
        values.withUnsafeMutableBufferPointer { values in
            guard let start = values.baseAddress else { return }
            subtract(origins, from: start, count: values.count)
        }
        return values
    }

    private static func gather<T: ElementwiseScalar>(
        _ source: (bytes: TensorBytes, dtype: DType), _ runs: [Range<Int>]
    ) -> [T] {
        let width = source.dtype.bitWidth / 8
        return source.bytes.withUnsafeBytes { bytes in
            [T](unsafeUninitializedCapacity: runs.reduce(0) { $0 + $1.count }) { values, count in
                for run in runs {
                    T.read(
                        UnsafeRawBufferPointer(rebasing: bytes[run.lowerBound * width..<run.upperBound * width]),
                        source.dtype, into: UnsafeMutableBufferPointer(rebasing: values[count..<count + run.count]))
                    count += run.count
                }
            }
        }
    }

    /// The base in F64, for where F32 cannot hold it.
    func wideBase(_ range: Range<Int>) -> [Double] {
        [Double](unsafeUninitializedCapacity: range.count) { buffer, count in
            Self.read(base, range, into: buffer.baseAddress!)
            count = range.count
        }
    }

    /// The task vector of an expert in F64, for where F32 cannot hold it.
    func wideTaskVector(of expert: Int, _ range: Range<Int>) -> [Double] {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: range.count) { memory in
            [Double](unsafeUninitializedCapacity: range.count) { buffer, count in
                readDifference(of: expert, range, into: buffer.baseAddress!, baseValues: memory.baseAddress!)
                count = range.count
            }
        }
    }

    /// NaN and infinities that are stored in the base, then in every expert.
    func countNonFinite(_ range: Range<Int>) -> [NonFiniteCount] {
        ([base] + experts).map { source in
            let width = source.dtype.bitWidth / 8
            return source.bytes.withUnsafeBytes { bytes in
                let part = bytes[range.lowerBound * width..<range.upperBound * width]
                return Kernels.countNonFinite(UnsafeRawBufferPointer(rebasing: part), source.dtype)
            }
        }
    }

    /// Whether the base or one of some experts stores NaN or an infinity in a run.
    func isSpoilt(_ experts: Range<Int>, _ range: Range<Int>) -> Bool {
        ([base] + self.experts[experts]).contains { source in
            let width = source.dtype.bitWidth / 8
            return source.bytes.withUnsafeBytes { bytes in
                let part = bytes[range.lowerBound * width..<range.upperBound * width]
                return hasNonFinite(UnsafeRawBufferPointer(rebasing: part), source.dtype)
            }
        }
    }

    private func readDifference<T: ElementwiseScalar>(
        of expert: Int, _ range: Range<Int>, into values: UnsafeMutablePointer<T>, baseValues: UnsafeMutablePointer<T>
    ) {
        Self.read(experts[expert], range, into: values)
        Self.read(base, range, into: baseValues)
        subtract(baseValues, from: values, count: range.count)
    }

    private static func read<T: ElementwiseScalar>(
        _ source: (bytes: TensorBytes, dtype: DType), _ range: Range<Int>, into values: UnsafeMutablePointer<T>
    ) {
        let width = source.dtype.bitWidth / 8
        source.bytes.withUnsafeBytes { bytes in
            T.read(
                UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound * width..<range.upperBound * width]),
                source.dtype, into: UnsafeMutableBufferPointer(start: values, count: range.count))
        }
    }

    /// Calls `body` with the task vector of an expert, block by block.
    func forEachBlock(
        of expert: Int, _ range: Range<Int>,
        _ body: (_ start: Int, _ count: Int, _ values: UnsafeMutablePointer<Float>) throws -> Void
    ) rethrows {
        try withUnsafeTemporaryAllocation(of: Float.self, capacity: Self.blockCapacity) { memory in
            for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.blockCapacity) {
                let end = min(start + Self.blockCapacity, range.upperBound)
                readTaskVector(of: expert, start..<end, into: memory.baseAddress!)
                try body(start, end - start, memory.baseAddress!)
            }
        }
    }
}
