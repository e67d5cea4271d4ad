import Checkpoints
import Kernels
import Merging
import Reporting
import SystemPackage
import TensorCore
import Transcoding
import Work

/// Merges adapters into one adapter as PEFT loads it.
///
/// The result has the modules of all; one that an adapter lacks it changes by nothing.
public struct AdapterMergeJob: Job, Sendable {
    /// What came out.
    public struct Outcome: Sendable {
        /// A weight and the rank of its change.
        public struct Weight: Sendable {
            public let name: TensorName
            public let shape: Shape
            public let rank: Int
            /// What should be known of it.
            public let note: String?
        }

        public let weights: [Weight]
        public let savedModules: [String]
        public let losses: [TensorLosses]
        public let written: WrittenCheckpoint
    }

    private let adapters: [(name: String, adapter: LoRAAdapter)]
    private let modules: [Module]
    private let wholes: [WholeTensor]
    private let merge: AdapterMerge
    private let dtype: DType
    private let naming: AdapterNaming
    private let target: OutputTarget

    public var method: MethodInfo { merge.method }
    /// What people should know before the merge.
    public let warnings: [Warning]

    /// A module that adapters change.
    private struct Module: Sendable {
        /// Of the adapters that change it, in their order.
        var changes: [(adapter: Int, change: StoredChange)]

        var first: StoredChange { changes[0].change }
    }

    /// A tensor that one of the adapters brings whole, or several alike.
    private struct WholeTensor: Sendable {
        let adapter: Int
        let tensor: LoRAAdapter.WholeTensor
    }

    /// How the result names its tensors.
    public struct Names {
        /// nil is what the first adapter has.
        public var naming: AdapterNaming?
        /// What the adapters were made for, which tells the dots behind kohya's underscores.
        public var base: (any CheckpointReader)?
        /// The component of a pipeline that adapters of PEFT are for.
        public var component: String?

        public init(
            naming: AdapterNaming? = nil, base: (any CheckpointReader)? = nil, component: String? = nil
        ) {
            self.naming = naming
            self.base = base
            self.component = component
        }
    }

    /// Opens adapters and plans their merge.
    ///
    /// - Parameters:
    ///   - paths: as `BASE+ADAPTER` takes them behind the plus.
    ///   - rank: of the result, at most; nil for that of the method.
    ///   - dtype: the type of the factors.
    ///   - names: how the result names its tensors.
    ///   - target: makes the place of the result: a folder for names of PEFT, else a safetensors file.
    /// - Throws: `usage.dtype` for factors that do not compute; `format.*` for adapters that are none, or more than factors;
    ///   `merge.incompatible` for weights of different shapes, and for different whole tensors; `merge.nothing_selected` for adapters
    ///   without factors; and what `AdapterMerge` throws.
    public init(
        _ paths: [(name: String, path: FilePath)], method: String, parameters: MergeParameters, rank: Int?,
        dtype: DType,
        names: Names = Names(), target: (AdapterNaming) throws -> OutputTarget, options: ReadOptions = ReadOptions()
    ) throws {
        try AdapterPart.check(dtype)
        let opened = try paths.map { (name: $0.name, adapter: try LoRAAdapter(opening: $0.path, options: options)) }
        let naming = names.naming ?? opened.first?.adapter.naming ?? .peft
        adapters = try opened.map {
            ($0.name, try $0.adapter.renamed(naming, base: names.base, component: names.component))
        }
        self.naming = naming
        modules = try Self.modules(of: adapters)
        wholes = try Self.wholes(of: adapters)
        guard let largestRank = modules.flatMap({ $0.changes.map(\.change.rank) }).max() else {
            throw MergeError(.nothingSelected, "the adapters have no factors")
        }
        merge = try AdapterMerge(
            method: method, parameters: parameters,
            weights: modules.map(\.first).map {
                AdaptedWeight($0.weight, outputs: $0.outputs, inputs: $0.inputs, isTransposed: $0.isTransposed)
            }, expertCount: adapters.count, rank: rank, largestRank: largestRank)
        self.dtype = dtype
        self.target = try target(naming)
        warnings = merge.warnings + Self.warnings(adapters, wholes)
    }

    /// Writes the merged adapter.
    ///
    /// - Throws: `io.exists`; `merge.not_finite`, `merge.not_converged`, `merge.memory`; what readers and writers throw.
    public func run(in context: Context) throws -> Outcome {
        if naming == .peft { try AdapterFolder(target).check() }
        let merged = try mergeAll(in: context)
        let kept = zip(modules, merged).filter { $1.change.rank > 0 }
        var parts = kept.flatMap { module, merged in
            AdapterPart.factors(
                of: module.first.path, naming, isEmbedding: module.first.isEmbedding, rank: merged.change.rank,
                outputs: module.first.outputs, kernel: module.first.kernel, dtype: dtype, a: { merged.change.a },
                b: { merged.change.b })
        }
        parts += wholes.map {
            .init(copying: $0.tensor.place, of: adapters[$0.adapter].adapter.reader, as: $0.tensor.path)
        }
        let (written, losses) =
            naming == .peft
            ? try AdapterFolder(target).write(parts, configuration(of: kept.map { ($0.first, $1.change.rank) }))
            : try AdapterPart.write(parts, to: target.path, options: target.options)
        return Outcome(
            weights: zip(modules, merged).map {
                .init(name: $0.first.weight.name, shape: $0.first.weight.shape, rank: $1.change.rank, note: $1.remark)
            }, savedModules: savedModules, losses: losses, written: written)
    }

    private var savedModules: [String] {
        var saved: [String] = []
        for name in adapters.flatMap(\.adapter.config.savedModules) where !saved.contains(name) { saved.append(name) }
        return saved
    }

    private func configuration(of changes: [(change: StoredChange, rank: Int)]) -> AdapterConfiguration {
        let configs = adapters.map(\.adapter.config)
        let saved = savedModules
        let hasBiases = wholes.contains { whole in
            !saved.contains { whole.tensor.name.text.hasPrefix("\($0).") || whole.tensor.name.text.contains(".\($0).") }
        }
        return AdapterConfiguration(
            // A module inside of another one that is wrapped goes along with it.
            modules: changes.filter { $0.change.path == $0.change.module }.map { ($0.change.module, $0.rank) },
            savedModules: saved,
            biases: !hasBiases ? .none : configs.contains(where: \.trainsAllBiases) ? .all : .ofModules,
            isTransposed: configs.contains(where: \.isTransposed), base: configs.lazy.compactMap(\.base).first,
            task: configs.lazy.compactMap(\.task).first)
    }
}

// MARK: - Planning

extension AdapterMergeJob {
    private static func modules(of adapters: [(name: String, adapter: LoRAAdapter)]) throws -> [Module] {
        var modules: [Module] = []
        var places: [String: Int] = [:]
        for (number, adapter) in adapters.map(\.adapter).enumerated() {
            for change in try adapter.changes() {
                guard let place = places[change.module] else {
                    places[change.module] = modules.count
                    modules.append(Module(changes: [(number, change)]))
                    continue
                }
                let (first, other) = modules[place].changes[0]
                guard other.weight == change.weight, other.isTransposed == change.isTransposed else {
                    throw MergeError(
                        .incompatible,
                        "weight \"\(change.weight.name)\" has the shape \(other.weight.shape) in adapter \(adapters[first].name) and "
                            + "\(change.weight.shape) in \(adapters[number].name)", tensor: change.weight.name,
                        hint: "were they trained on the same base?")
                }
                modules[place].changes.append((number, change))
            }
        }
        return modules
    }

    private static func wholes(of adapters: [(name: String, adapter: LoRAAdapter)]) throws -> [WholeTensor] {
        var wholes: [WholeTensor] = []
        for (number, adapter) in adapters.map(\.adapter).enumerated() {
            for tensor in adapter.tensors {
                guard let known = wholes.first(where: { $0.tensor.name == tensor.name }) else {
                    wholes.append(WholeTensor(adapter: number, tensor: tensor))
                    continue
                }
                guard try isEqual(adapters[known.adapter].adapter, known.tensor.place, adapter, tensor.place) else {
                    throw MergeError(
                        .incompatible,
                        "tensor \"\(tensor.name)\" is whole in \(adapters[known.adapter].name) and another one in "
                            + "\(adapters[number].name): what each has changed the base alone tells",
                        tensor: tensor.name,
                        hint: "merge the models, BASE+ADAPTER each")
                }
            }
        }
        return wholes
    }

    /// Whether tensors have the same type, shape and bytes.
    private static func isEqual(_ a: LoRAAdapter, _ aPlace: Int, _ b: LoRAAdapter, _ bPlace: Int) throws -> Bool {
        let (first, second) = (a.reader.descriptors[aPlace], b.reader.descriptors[bPlace])
        guard first.layout == second.layout, first.shape == second.shape else { return false }
        let bytes = (try a.reader.bytes(of: aPlace), try b.reader.bytes(of: bPlace))
        return bytes.0.withUnsafeBytes { first in bytes.1.withUnsafeBytes { first.elementsEqual($0) } }
    }

    private static func warnings(
        _ adapters: [(name: String, adapter: LoRAAdapter)], _ wholes: [WholeTensor]
    ) -> [Warning] {
        var warnings: [Warning] = []
        let bases = adapters.compactMap { entry in entry.adapter.config.base.map { (entry.name, $0) } }
        if let first = bases.first, let other = bases.first(where: { $0.1 != first.1 }) {
            warnings.append(
                Warning(
                    MergeWarning.differentBases,
                    "\(first.0) was trained on \(first.1.escapingControlCharacters) and \(other.0) on "
                        + "\(other.1.escapingControlCharacters), as their configurations say"))
        }
        if adapters.count > 1, let first = wholes.first {
            warnings.append(
                Warning(
                    MergeWarning.wholeTensors,
                    "\(wholes.count == 1 ? "1 tensor" : "\(wholes.count.grouped) tensors"), such as \"\(first.tensor.name)\" of "
                        + "\(adapters[first.adapter].name), \(wholes.count == 1 ? "goes" : "go") along whole, without weights"
                ))
        }
        return warnings
    }
}

// MARK: - Merging

extension AdapterMergeJob {
    private func mergeAll(in context: Context) throws -> [(change: FactoredMatrix, remark: String?)] {
        let needs = try modules.indices.map { number in
            let ranks = modules[number].changes.map(\.change.rank)
            let factors = 16 * ranks.reduce(0, +) * (modules[number].first.outputs + modules[number].first.inputs)
            return factors + (try merge.workingByteCount(of: number, ranks: ranks))
        }
        if let limit = context.memory, let largest = needs.max(), largest > limit {
            throw MergeError(
                .memory, "merging the largest weight takes \(ByteSize(largest)), but \(ByteSize(limit)) are allowed",
                hint: "raise --memory to at least \(largest >> 20 + 1)MiB")
        }
        return try context.map("merging", unit: .items("weights"), needs: needs) { try merge($0) }
    }

    private func merge(_ number: Int) throws -> (change: FactoredMatrix, remark: String?) {
        let module = modules[number]
        let changes = try module.changes.map { adapter, change in
            let matrix = try change.factors()
            for factor in [matrix.a, matrix.b] where factor.values.contains(where: { !$0.isFinite }) {
                throw MergeError(
                    .notFinite,
                    "a factor of \"\(change.weight.name)\" in \(adapters[adapter].name) holds NaN or infinities",
                    tensor: change.weight.name, hint: "see them with `untangle inspect --stats`")
            }
            return AdapterChange(adapter: adapter, matrix: matrix, scale: change.scale)
        }
        return try merge.merge(changes, of: number)
    }
}
