import Checkpoints
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
    /// Bytes that what is decoded may take; nil sets no bound.
    private var memoryByteCount: Int?

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

    /// What is read of the base and every expert.
    public var byteCount: Int {
        ([base] + experts).reduce(0) { sum, store in
            tensors.reduce(sum) { $0 + (store.index(of: $1.name).map { store.descriptors[$0].byteCount } ?? 0) }
        }
    }

    /// All of one tensor in the base and every expert.
    func load(_ tensor: Int) throws -> LoadedTaskVector {
        let sources = try places(of: tensor).map { reader, index in
            LoadedTaskVector.Source(try reader.bytes(of: index), reader.descriptors[index].dtype)
        }
        return LoadedTaskVector(tensor: tensor, base: sources[0], experts: Array(sources.dropFirst()))
    }

    /// The file in which a model has a tensor; the base is the first model, then come the experts.
    func file(of tensor: TensorName, model: Int) -> String {
        let store = model == 0 ? base : experts[model - 1]
        guard let place = store.index(of: tensor) else { preconditionFailure("checked when the set was made") }
        return store.reader.location(of: place).file.string
    }

    /// Where a tensor is in the base, then in every expert.
    private func places(of tensor: Int) -> [(reader: any CheckpointReader, index: Int)] {
        ([base] + experts).map { store in
            guard let place = store.index(of: tensors[tensor].name) else {
                preconditionFailure("checked when the set was made")
            }
            return (store.reader, place)
        }
    }

    /// Bounds the memory for decoded tensors.
    ///
    /// - Throws: `IOError` `io.memory` when a tensor of all models together takes more.
    public mutating func setMemory(_ byteCount: Int) throws(IOError) {
        for (place, tensor) in tensors.enumerated() {
            guard let index = base.index(of: tensor.name) else { continue }
            try base.reader.requireMemory(byteCount, for: decodedByteCount(place), toDecode: index)
        }
        memoryByteCount = byteCount
    }

    /// Memory that `load` takes for tensors that are not mapped.
    func decodedByteCount(_ tensor: Int) -> Int {
        places(of: tensor).reduce(0) { $0 + $1.reader.decodedByteCount(of: $1.index) }
    }

    /// Works on all chunks of all tensors in parallel; results come in the order of tensors and chunks.
    func mapChunks<R: Sendable>(
        threads: Int, _ body: @Sendable (LoadedTaskVector, Range<Int>) throws -> R
    ) throws -> [(tensor: Int, result: R)] {
        let places = tensors.indices.map(places)
        let sweep = TensorSweep(places.map { TensorSweep.Item($0, chunkCount: 1 << 20) })
        let room = (memoryByteCount ?? Int.max) / max(1, sweep.workingByteCount)
        let found = try sweep.map(threads: max(1, min(threads, room))) { chunk in
            let sources = zip(chunk.parts, places[chunk.item]).map { part, place in
                LoadedTaskVector.Source(
                    part, place.reader.descriptors[place.index].dtype, from: chunk.elements.lowerBound)
            }
            let loaded = LoadedTaskVector(
                tensor: chunk.item, base: sources[0], experts: Array(sources.dropFirst()))
            return try body(loaded, chunk.elements)
        }
        return found.enumerated().flatMap { tensor, results in results.map { (tensor, $0) } }
    }
}
