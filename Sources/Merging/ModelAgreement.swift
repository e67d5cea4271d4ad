import Checkpoints
import Glibc
import TensorCore

/// A tensor that all models of a merge have in the same shape.
struct AgreedTensor {
    /// As in the first model.
    let descriptor: TensorDescriptor
    /// For every model: the tensor's place in its reader, and its type.
    let indices: [Int]
    let dtypes: [DType]
    let decodedByteCount: Int
    let inputByteCount: Int
}

/// What the models have in common; making one fails when they do not fit together, with every difference at once.
struct ModelAgreement {
    private(set) var tensors: [AgreedTensor] = []
    private(set) var warnings: [String] = []

    /// - Parameter models: the first one decides the order of the tensors.
    /// - Throws: `merge.incompatible`, `merge.different_buffers`, with the differences as `details`.
    init(_ models: [MergeModel], selection: TensorSelection) throws {
        let prefixes = Self.prefixes(of: models, selection: selection)
        let stacks = models.map { LayerStack.all(in: $0.store.descriptors) }
        var differences: [ModelDifference] = []
        var mixed: [TensorName] = []
        for name in Self.names(of: models, selection: selection) {
            let places = models.map { $0.store.index(of: name) }
            guard !places.contains(nil) else {
                let has = zip(models, places).filter { $0.1 != nil }.map(\.0.name)
                let lacking = models.indices.filter { places[$0] == nil }
                let isDeeper = lacking.allSatisfy { Self.isBehindLayers(name, stacks[$0]) }
                differences.append(
                    .missing(
                        name, has: has, lacks: lacking.map { models[$0].name },
                        remedy: prefixes.first { $0.names.contains(name) }?.remedy
                            ?? (isDeeper ? "choose layers with slices in a recipe" : nil)))
                continue
            }
            let indices = places.compactMap { $0 }
            let found = zip(models, indices).map { $0.store.descriptors[$1] }
            let names = models.map(\.name)
            if found.contains(where: { $0.shape != found[0].shape }) {
                differences.append(.shapes(name, Array(zip(names, found.map(\.shape)))))
            } else if found.contains(where: { $0.dtype != found[0].dtype }) {
                if found.allSatisfy(\.dtype.isComputable) {
                    mixed.append(name)
                } else {
                    differences.append(.types(name, Array(zip(names, found.map(\.dtype)))))
                }
            }
            let unmapped = models.indices.filter { !models[$0].store.reader.isMapped(indices[$0]) }
            tensors.append(
                AgreedTensor(
                    descriptor: found[0], indices: indices, dtypes: found.map(\.dtype),
                    decodedByteCount: unmapped.reduce(0) { $0 + found[$1].byteCount },
                    inputByteCount: found.reduce(0) { $0 + $1.byteCount }))
        }
        guard differences.isEmpty else { throw Self.mismatch(differences) }
        if let first = mixed.first {
            let tensors = mixed.count == 1 ? "1 tensor has" : "\(mixed.count) tensors have"
            warnings.append("\(tensors) different floating-point types in different models, such as \"\(first)\"")
        }
        try Self.checkCopies(tensors.filter { !$0.dtypes[0].isComputable }, models)
    }

    /// The names of all models: in the order of the first, then those that only others have.
    private static func names(of models: [MergeModel], selection: TensorSelection) -> [TensorName] {
        var seen: Set<TensorName> = []
        return models.flatMap { $0.store.descriptors.map(\.name) }.filter {
            selection.contains($0) && seen.insert($0).inserted
        }
    }

    /// Whether a tensor belongs to a layer that a model has not because its stack of layers ends before.
    private static func isBehindLayers(_ name: TensorName, _ stacks: [LayerStack]) -> Bool {
        guard let layer = LayerName(name) else { return false }
        return stacks.contains { $0.prefix == layer.prefix && $0.count <= layer.number }
    }

    private static func prefixes(of models: [MergeModel], selection: TensorSelection) -> [NamePrefix] {
        models.dropFirst().compactMap { model in
            func names(of one: MergeModel, notIn other: MergeModel) -> [TensorName] {
                one.store.descriptors.map(\.name).filter {
                    selection.contains($0) && other.store.index(of: $0) == nil
                }
            }
            return NamePrefix(
                missing: names(of: models[0], notIn: model), extra: names(of: model, notIn: models[0]),
                model: model.name)
        }
    }

    private static func mismatch(_ differences: [ModelDifference]) -> MergeError {
        let places = differences.count == 1 ? "place" : "places"
        var error = MergeError(
            .incompatible,
            "the models do not fit together in \(differences.count) \(places): "
                + ModelDifference.summary(of: differences),
            hint: "leave tensors out with --exclude, or check that all models come from one base")
        error.details = ModelDifference.table(differences)
        return error
    }

    /// Tensors without arithmetic are copied, which is right only when all models hold the same bytes.
    private static func checkCopies(_ tensors: [AgreedTensor], _ models: [MergeModel]) throws {
        var differences: [ModelDifference] = []
        for tensor in tensors {
            let reference = try models[0].store.reader.bytes(of: tensor.indices[0])
            var others: [String] = []
            for (model, place) in zip(models, tensor.indices).dropFirst() {
                let other = try model.store.reader.bytes(of: place)
                let isEqual = reference.withUnsafeBytes { a in
                    other.withUnsafeBytes { b in
                        a.count == b.count && (a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
                    }
                }
                if !isEqual { others.append(model.name) }
            }
            if !others.isEmpty {
                differences.append(
                    .contents(
                        tensor.descriptor.name, dtype: tensor.dtypes[0], first: models[0].name, others: others))
            }
        }
        guard !differences.isEmpty else { return }
        var error = MergeError(
            .differentBuffers,
            "tensors that cannot be averaged must be the same in all models: \(ModelDifference.summary(of: differences))",
            hint: "leave them out with --exclude; quantised weights must be converted to BF16 or F32 first")
        error.details = ModelDifference.table(differences)
        throw error
    }
}
