import Checkpoints
import Kernels
import Reporting
import SystemPackage
import TensorCore
import Work

/// Turns the difference between a model and its base into a LoRA adapter as PEFT loads it.
///
///     expert − base ≈ B A      the strongest singular triplets of each weight: B = U √S, A = √S Vᵀ
public struct AdapterExtraction: Job, Sendable {
    /// How the adapter is made.
    public struct Settings: Sendable {
        public var extent: LowRankApproximation.Extent
        /// The type of the factors.
        public var dtype: DType
        public var selection: TensorSelection

        public init(extent: LowRankApproximation.Extent, dtype: DType, selection: TensorSelection) {
            self.extent = extent
            self.dtype = dtype
            self.selection = selection
        }
    }

    /// What came out.
    public struct Outcome: Sendable {
        /// A weight and what its factors hold of its change.
        public struct Weight: Sendable {
            public let name: TensorName
            public let shape: Shape
            public let rank: Int
            /// The share of the sum of squares.
            public let energy: Double
            fileprivate let sumOfSquares: Double
        }

        public let weights: [Weight]
        public let savedModules: [String]
        public let leftOut: [TensorName]
        public let written: WrittenCheckpoint

        /// What changed and has no place in an adapter.
        public var warnings: [Warning] {
            guard let first = leftOut.first else { return [] }
            return [
                Warning(
                    ConversionWarning.leftOut,
                    "\(leftOut.count.grouped) changed tensors, such as \"\(first)\", have no place in an adapter and are left out"
                )
            ]
        }

        /// The share of the sum of squares of all weights that became factors.
        public var energy: Double {
            let total = weights.reduce(0) { $0 + $1.sumOfSquares }
            return total > 0 ? weights.reduce(0) { $0 + $1.energy * $1.sumOfSquares } / total : 1
        }
    }

    private let base: TensorStore
    private let expert: TensorStore
    private let settings: Settings
    private let target: OutputTarget
    /// What the configuration calls the base.
    private let baseName: String
    private let config: JSONValue?

    /// Takes a model and what it was fine-tuned from.
    ///
    /// - Parameters:
    ///   - target: a folder.
    ///   - folder: where the configuration of the base lies.
    public init(
        of expert: TensorStore, from base: TensorStore, named baseName: String, folder: FilePath, settings: Settings,
        to target: OutputTarget
    ) {
        self.base = base
        self.expert = expert
        self.baseName = baseName
        self.settings = settings
        self.target = target
        config = JSONDocument.read(folder.appending("config.json"))
    }

    /// Writes the adapter.
    ///
    /// - Throws: `usage.dtype` for factors that do not compute; `convert.incompatible` for a model of another base;
    ///   `convert.nothing_selected` when nothing changed that an adapter holds; `merge`-like errors of readers and writers; `io.memory`
    ///   when a weight does not fit.
    public func run(in context: Context) throws -> Outcome {
        try AdapterPart.check(settings.dtype)
        try ModelKinship.check(expert, from: base, selection: settings.selection)
        try AdapterFolder(target).check()
        let plan = AdapterPlan(
            base: base, expert: expert, changed: try changed(in: context), selection: settings.selection,
            modelType: config?["model_type"]?.string)
        guard !plan.items.isEmpty || !plan.saved.isEmpty else {
            throw ConversionError.input(
                "nothing_selected",
                "\(expert.path.string) and \(base.path.string) differ in nothing that an adapter holds",
                file: expert.path.string, hint: "are they the model and its base?")
        }
        let factors = try factors(of: plan.items, in: context)
        let written = try write(plan, factors)
        return Outcome(
            weights: zip(plan.items, factors).map {
                .init(
                    name: $0.descriptor.name, shape: $0.descriptor.shape, rank: $1.rank, energy: $1.energy,
                    sumOfSquares: $1.sumOfSquares)
            },
            savedModules: plan.savedModules, leftOut: plan.leftOut, written: written)
    }
}

// MARK: - Differences

extension AdapterExtraction {
    /// The tensors of the model whose values or shapes are not those of the base.
    private func changed(in context: Context) throws -> Set<TensorName> {
        let chosen = expert.descriptors.enumerated().filter { settings.selection.contains($0.element.name) }
        let pairs = chosen.compactMap { place, own in
            base.index(of: own.name).flatMap { index in
                base.descriptors[index].shape == own.shape ? (name: own.name, expert: place, base: index) : nil
            }
        }
        var changed = Set(chosen.map(\.element.name)).subtracting(pairs.map(\.name))
        let chunkCount = 1 << 20
        let sweep = TensorSweep(
            pairs.map {
                TensorSweep.Item([(expert.reader, $0.expert), (base.reader, $0.base)], chunkCount: chunkCount)
            })
        let differs = try sweep.map(threads: context.workers(each: sweep.workingByteCount)) { chunk in
            let pair = pairs[chunk.item]
            let types = (expert.descriptors[pair.expert].dtype, base.descriptors[pair.base].dtype)
            if types.0 == types.1 { return !chunk.parts[0].elementsEqual(chunk.parts[1]) }
            guard canCast(from: types.0, to: .f64), canCast(from: types.1, to: .f64) else { return true }
            let count = chunk.elements.count
            return try [(chunk.parts[0], types.0), (chunk.parts[1], types.1)].map { bytes, type in
                let numbers = try Matrix<Double>(rows: 1, columns: count)
                widen(bytes, type, into: numbers.values)
                return numbers
            }.withPair { a, b in !a.values.elementsEqual(b.values) }
        }
        for (pair, found) in zip(pairs, differs) where found.contains(true) { changed.insert(pair.name) }
        return changed
    }
}

extension [Matrix<Double>] {
    fileprivate func withPair<R>(_ body: (Matrix<Double>, Matrix<Double>) -> R) -> R { body(self[0], self[1]) }
}

// MARK: - Factors

extension AdapterExtraction {
    private func factors(of items: [AdapterPlan.Item], in context: Context) throws -> [LowRankApproximation] {
        let needs = try items.map { item in
            let matrix = 4 * item.outputs * item.inputs
            let decoded =
                base.reader.decodedByteCount(of: item.base) + expert.reader.decodedByteCount(of: item.expert)
            return try matrix
                + LowRankApproximation.workingByteCount(rows: item.outputs, columns: item.inputs) + decoded
        }
        if let limit = context.memory, let largest = needs.max(), largest > limit {
            throw IOError(
                kind: .memory,
                message:
                    "decomposing the largest weight takes \(ByteSize(largest)), but \(ByteSize(limit)) are allowed",
                file: expert.path.string, hint: "raise --memory to at least \(largest >> 20 + 1)MiB")
        }
        return try context.map("extracting", unit: .items("weights"), needs: needs) { place in
            let item = items[place]
            do {
                return try LowRankApproximation(
                    of: try difference(of: item), keeping: settings.extent,
                    generator: CounterGenerator(seed: 0, stream: UInt64(place)))
            } catch let error as DecompositionError {
                let reason =
                    switch error {
                    case .notFinite: "NaN or an infinity is in it"
                    case .tooLarge: "it is too large"
                    case .notConverged: "LAPACK found no decomposition"
                    }
                throw ConversionError.input(
                    "no_decomposition", "tensor \"\(item.descriptor.name)\" has no change to decompose: \(reason)",
                    file: expert.path.string, tensor: item.descriptor.name, hint: "leave it out with --exclude")
            }
        }
    }

    /// The change of a weight, `[outputs, inputs]`.
    private func difference(of item: AdapterPlan.Item) throws -> Matrix<Float> {
        let stored = try Matrix<Float>(
            rows: item.isTransposed ? item.inputs : item.outputs,
            columns: item.isTransposed ? item.outputs : item.inputs)
        try expert.reader.bytes(of: item.expert).withUnsafeBytes { own in
            try base.reader.bytes(of: item.base).withUnsafeBytes { base in
                let types = (item.descriptor.dtype, self.base.descriptors[item.base].dtype)
                // Differences of near numbers are exact in F64, and rounded once.
                withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * Self.blockCount) { memory in
                    for start in stride(from: 0, to: stored.count, by: Self.blockCount) {
                        let count = min(Self.blockCount, stored.count - start)
                        let a = UnsafeMutableBufferPointer(rebasing: memory[..<count])
                        let b = UnsafeMutableBufferPointer(rebasing: memory[Self.blockCount..<Self.blockCount + count])
                        for (bytes, type, numbers) in [(own, types.0, a), (base, types.1, b)] {
                            let width = type.bitWidth / 8
                            widen(
                                UnsafeRawBufferPointer(rebasing: bytes[start * width..<(start + count) * width]), type,
                                into: numbers)
                        }
                        for i in 0..<count { stored.values[start + i] = Float(a[i] - b[i]) }
                    }
                }
            }
        }
        guard item.isTransposed else { return stored }
        let turned = try Matrix<Float>(rows: item.outputs, columns: item.inputs)
        for row in 0..<stored.rows {
            for column in 0..<stored.columns {
                turned.pointer[column * stored.rows + row] = stored.pointer[row * stored.columns + column]
            }
        }
        return turned
    }

    private static let blockCount = 4096
}

// MARK: - Writing

extension AdapterExtraction {
    private func parts(_ plan: AdapterPlan, _ factors: [LowRankApproximation]) -> [AdapterPart] {
        var parts: [AdapterPart] = []
        for (item, factor) in zip(plan.items, factors) where factor.rank > 0 {
            let dims = item.descriptor.shape.dims
            parts += AdapterPart.factors(
                of: item.module, isEmbedding: item.kind == .embedding, rank: factor.rank, outputs: item.outputs,
                kernel: item.kind == .convolution ? Array(dims.dropFirst()) : [item.inputs], dtype: settings.dtype,
                a: { try factor.rows(of: factor.vt) }, b: { try factor.columns(of: factor.ut) })
        }
        for (place, module) in plan.biases {
            parts.append(.init(copying: place, of: expert.reader, as: "\(module).base_layer.bias"))
        }
        for (place, name) in plan.saved { parts.append(.init(copying: place, of: expert.reader, as: name.text)) }
        return parts
    }

    private func write(_ plan: AdapterPlan, _ factors: [LowRankApproximation]) throws -> WrittenCheckpoint {
        let isCausal =
            config?["architectures"]?.array?.contains { $0.string?.hasSuffix("ForCausalLM") == true } ?? false
        let configuration = AdapterConfiguration(
            modules: zip(plan.items, factors).filter { $1.rank > 0 }.map { ($0.module, $1.rank) },
            savedModules: plan.savedModules, biases: plan.biases.isEmpty ? .none : .ofModules,
            isTransposed: plan.isTransposed, base: baseName, task: isCausal ? "CAUSAL_LM" : nil)
        return try AdapterFolder(target).write(parts(plan, factors), configuration).written
    }
}

extension LowRankApproximation {
    /// Vectors as rows, each times the square root of its singular value.
    fileprivate func rows(of vectors: Matrix<Float>) throws -> Matrix<Double> {
        try scaled(vectors, rows: vectors.rows, columns: vectors.columns) { k, i in k * vectors.columns + i }
    }

    /// The same as columns.
    fileprivate func columns(of vectors: Matrix<Float>) throws -> Matrix<Double> {
        try scaled(vectors, rows: vectors.columns, columns: vectors.rows) { k, i in i * vectors.rows + k }
    }

    private func scaled(
        _ vectors: Matrix<Float>, rows: Int, columns: Int, place: (_ k: Int, _ i: Int) -> Int
    ) throws -> Matrix<Double> {
        let scaled = try Matrix<Double>(rows: rows, columns: columns)
        for k in 0..<vectors.rows {
            let factor = Float(singularValues[k].squareRoot())
            for i in 0..<vectors.columns {
                scaled.pointer[place(k, i)] = Double(factor * vectors.pointer[k * vectors.columns + i])
            }
        }
        return scaled
    }
}
