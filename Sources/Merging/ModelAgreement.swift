import Checkpoints
import Glibc
import TensorCore

/// A tensor of the result and where the models have it.
struct AgreedTensor {
    /// The tensor in one of the models.
    struct Input {
        /// Its place in the reader.
        let index: Int
        let dtype: DType
        let byteCount: Int
        let isMapped: Bool
        /// What it takes where elements are merged one by one and made as they are read; nil where it cannot be read so.
        let windowByteCount: Int?

        init(_ index: Int, of model: MergeModel) {
            let reader = model.store.reader
            self.index = index
            dtype = reader.descriptors[index].dtype
            byteCount = reader.descriptors[index].byteCount
            isMapped = reader.isMapped(index)
            windowByteCount = reader.windowByteCount(of: index)
        }
    }

    /// As in the first model.
    let descriptor: TensorDescriptor
    /// For every model; for a tensor that is kept, of the first model alone.
    let inputs: [Input]
    /// The type of the result, unless another is asked for.
    let restingType: DType
    /// Whether the result has the bytes of the first model, whatever the method.
    let isCopied: Bool
}

/// What the models have in common; making one fails when they do not fit together, with every difference at once.
struct ModelAgreement {
    private(set) var tensors: [AgreedTensor] = []
    private(set) var warnings: [Warning] = []
    /// The tensors that are parts of quantised ones. They are the same in all models.
    private(set) var quantizedParts: [TensorDescriptor] = []
    /// How the first model is quantised; nil when nothing of it takes part.
    let quantization: Quantization?

    /// The first one gives what is copied.
    let models: [MergeModel]

    /// Compares the tensors of all models.
    ///
    /// - Parameters:
    ///   - models: the first one decides the order of the tensors, and gives those that are kept.
    ///   - keepBase: which tensors are taken from the first model as they are, also beyond the selection; those that it lacks are
    ///     left out.
    /// - Throws: `merge.incompatible`, `merge.different_buffers`, with the differences as `details`; `input.quantized`,
    ///   `input.adapter`.
    init(_ models: [MergeModel], selection: TensorSelection, keepBase: TensorPatterns) throws {
        self.models = models
        let all = Self.names(of: models) { selection.contains($0) || keepBase.contains($0) && !selection.excludes($0) }
        let kept = Set(all.filter(keepBase.contains))
        let merged = all.filter { !kept.contains($0) }
        let parts = try WeightsError.check(models.map { ($0.name, $0.store) }, of: Set(merged))
        quantization = parts.quantization

        let suggestions = Self.suggestions(models, among: Set(merged))
        let stacks = models.map { LayerStack.all(in: $0.store.descriptors) }
        var findings = Findings()
        for name in all {
            let places = models.map { $0.store.index(of: name) }
            if kept.contains(name) {
                if let place = places[0] { tensors.append(copy(of: place)) }
            } else if places.contains(nil) {
                addMissing(name, places, isPart: parts.names.contains(name), suggestions, stacks, &findings)
            } else {
                addShared(name, places.compactMap { $0 }, isPart: parts.names.contains(name), &findings)
            }
        }
        try check(findings.differentParts)
        guard findings.differences.isEmpty else {
            throw ModelDifference.mismatch(
                findings.differences, all: all, maps: MapSuggestion.options(of: suggestions))
        }
        try compareCopies(parts: parts.names, all: all, &findings)
        warnings = warnings(of: findings)
    }

    /// The rules that would give the tensors of other models the names of the first.
    private static func suggestions(_ models: [MergeModel], among wanted: Set<TensorName>) -> [MapSuggestion] {
        let tensors = models.map { $0.store.descriptors.filter { wanted.contains($0.name) } }
        return tensors.dropFirst().compactMap { MapSuggestion(for: $0, toMatch: tensors[0]) }
    }

    /// What is found out tensor by tensor.
    private struct Findings {
        var differences: [ModelDifference] = []
        /// Tensors of different floating-point types.
        var mixed: [TensorName] = []
        /// Tensors that are right only if all models have the same bytes.
        var copies: [AgreedTensor] = []
        /// Parts of quantised weights that only some models have, or not alike.
        var differentParts: [TensorName] = []
        /// Tensors that are no weights and are kept, and those that are left out because the first model has none.
        var buffers: [TensorName] = []
        var leftOut: [TensorName] = []
    }

    /// Decides about a tensor that some models lack.
    private mutating func addMissing(
        _ name: TensorName, _ places: [Int?], isPart: Bool, _ suggestions: [MapSuggestion], _ stacks: [[LayerStack]],
        _ findings: inout Findings
    ) {
        guard !isPart else { return findings.differentParts.append(name) }
        if isBuffer(name, places) {
            guard let place = places[0] else { return findings.leftOut.append(name) }
            tensors.append(copy(of: place))
            findings.buffers.append(name)
            return
        }
        let has = zip(models, places).filter { $0.1 != nil }.map(\.0.name)
        let lacking = models.indices.filter { places[$0] == nil }
        let isDeeper = lacking.allSatisfy { Self.isBehindLayers(name, stacks[$0]) }
        findings.differences.append(
            .missing(
                name, has: has, lacks: lacking.map { models[$0].name }, isInFirst: places[0] != nil,
                map: suggestions.first { $0.names.contains(name) }?.map, isDeeper: isDeeper))
    }

    /// Compares shapes and types of a tensor that all models have.
    private mutating func addShared(_ name: TensorName, _ indices: [Int], isPart: Bool, _ findings: inout Findings) {
        let found = zip(models, indices).map { $0.store.descriptors[$1] }
        let hasOneShape = found.allSatisfy { $0.shape == found[0].shape }
        let hasOneType = found.allSatisfy { $0.dtype == found[0].dtype }
        if !(hasOneShape && hasOneType), isPart { return findings.differentParts.append(name) }
        if !(hasOneShape && hasOneType), isBuffer(name, indices) {
            findings.buffers.append(name)
            tensors.append(copy(of: indices[0]))
            return
        }
        let names = models.map(\.name)
        if !hasOneShape {
            findings.differences.append(.shapes(name, Array(zip(names, found.map(\.shape)))))
        } else if !hasOneType, !found.allSatisfy(\.dtype.isComputable) {
            findings.differences.append(.types(name, Array(zip(names, found.map(\.dtype)))))
        } else if Set(zip(models, indices).map { $0.store.reader.restingType(of: $1) }).count > 1 {
            findings.mixed.append(name)
        }
        let tensor = AgreedTensor(
            descriptor: found[0], inputs: zip(models, indices).map { AgreedTensor.Input($1, of: $0) },
            restingType: models[0].store.reader.restingType(of: indices[0]),
            isCopied: isPart || !found[0].dtype.isComputable)
        tensors.append(tensor)
        if isPart { quantizedParts.append(found[0]) }
        if tensor.isCopied { findings.copies.append(tensor) }
    }

    /// The names of all models that are wanted: in the order of the first, then those that only others have.
    private static func names(of models: [MergeModel], where isWanted: (TensorName) -> Bool) -> [TensorName] {
        var seen: Set<TensorName> = []
        return models.flatMap { $0.store.descriptors.map(\.name) }.filter { isWanted($0) && seen.insert($0).inserted }
    }

    /// Whether a tensor belongs to a layer that a model has not because its stack of layers ends before.
    private static func isBehindLayers(_ name: TensorName, _ stacks: [LayerStack]) -> Bool {
        guard let layer = LayerName(name) else { return false }
        return stacks.contains { $0.prefix == layer.prefix && $0.count <= layer.number }
    }

    /// A tensor that the result has from the first model as it is.
    private func copy(of place: Int) -> AgreedTensor {
        AgreedTensor(
            descriptor: models[0].store.descriptors[place], inputs: [AgreedTensor.Input(place, of: models[0])],
            restingType: models[0].store.reader.restingType(of: place), isCopied: true)
    }

    /// Whether a tensor is no weight: a buffer that architectures compute for themselves, or integers in the first model that has
    /// it.
    private func isBuffer(_ name: TensorName, _ places: [Int?]) -> Bool {
        let found = zip(models, places).compactMap { model, place in place.map { model.store.descriptors[$0] } }
        if found.contains(where: ComputedBuffer.isOne) { return true }
        return found.first?.dtype.isInteger ?? false
    }

    /// Compares tensors that are only copied. Buffers may differ, and are kept; other tensors may not.
    private func compareCopies(parts: Set<TensorName>, all: [TensorName], _ findings: inout Findings) throws {
        guard models.count > 1 else { return }
        var differences: [ModelDifference] = []
        for tensor in findings.copies {
            let name = tensor.descriptor.name
            let others = try modelsWithOtherBytes(tensor)
            guard !others.isEmpty else { continue }
            if parts.contains(name) {
                findings.differentParts.append(name)
            } else if tensor.descriptor.dtype.isInteger || ComputedBuffer.isOne(tensor.descriptor) {
                findings.buffers.append(name)
            } else {
                differences.append(
                    .contents(name, dtype: tensor.descriptor.dtype, first: models[0].name, others: others))
            }
        }
        try check(findings.differentParts)
        guard differences.isEmpty else { throw ModelDifference.differentCopies(differences, all: all) }
    }

    private func check(_ differentParts: [TensorName]) throws(WeightsError) {
        guard !differentParts.isEmpty, let quantization else { return }
        throw .quantized(
            models[0].name, quantization, parts: differentParts, file: models[0].store.path,
            problem: "they differ between the models and cannot be merged one by one")
    }

    private func modelsWithOtherBytes(_ tensor: AgreedTensor) throws -> [String] {
        let reference = try models[0].store.reader.bytes(of: tensor.inputs[0].index)
        var others: [String] = []
        for (model, input) in zip(models, tensor.inputs).dropFirst() {
            let other = try model.store.reader.bytes(of: input.index)
            let isEqual = reference.withUnsafeBytes { a in
                other.withUnsafeBytes { b in
                    a.count == b.count && (a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
                }
            }
            if !isEqual { others.append(model.name) }
        }
        return others
    }

    /// A line for each kind of tensor that people should know about.
    private func warnings(of findings: Findings) -> [Warning] {
        func count(_ names: [TensorName]) -> String { names.count == 1 ? "1 tensor" : "\(names.count) tensors" }
        let first = models[0].name
        var lines: [Warning] = []
        if let name = findings.mixed.first {
            lines.append(
                Warning(
                    MergeWarning.mixedTypes,
                    "\(count(findings.mixed)) \(findings.mixed.count == 1 ? "has" : "have") different floating-point types in "
                        + "different models, such as \"\(name)\""))
        }
        if let quantization, models.count > 1 {
            lines.append(
                Warning(
                    MergeWarning.quantizedParts,
                    "parts of quantised weights (\(quantization.scheme.name)) are the same in all models and kept as they are: "
                        + count(quantizedParts.map(\.name))))
        }
        func note(_ code: MergeWarning, _ names: [TensorName], _ fate: String) {
            guard let example = names.first else { return }
            let (kind, verb) = names.count == 1 ? ("is no weight", "is") : ("are no weights", "are")
            lines.append(
                Warning(
                    code,
                    "\(count(names)) that \(kind), such as \"\(example)\", \(names.count == 1 ? "differs" : "differ") between the "
                        + "models and \(verb) \(fate)"))
        }
        note(.kept, findings.buffers, "kept from \(first)")
        note(.leftOut, findings.leftOut, "left out, as in \(first)")
        return lines
    }
}
