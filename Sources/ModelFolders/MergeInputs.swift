import Checkpoints
import Merging
import TensorCore

/// The models of a merge as they take part in it, and the folders they lie in: what is looked at before any work.
package struct MergeInputs: Sendable {
    /// One model.
    package struct Model: Sendable {
        package let name: String
        /// With its output head as the merge needs it; see `TiedEmbeddings`.
        package let store: TensorStore
        /// The checkpoint as it was opened.
        package let original: TensorStore
        package let folder: ModelFolder?
    }

    /// The base first, if there is one, then the experts.
    package let models: [Model]
    package let hasBase: Bool
    private let donorPlace: Int
    /// What `tie_word_embeddings` has to say of the result; nil when that has not changed.
    package let isTied: Bool?
    package let warnings: [Warning]
    private let configs: ConfigDifferences

    /// Looks at the folders of the models and makes one set of tensors of them.
    ///
    /// - Parameter donor: the place among the experts of the model whose configuration the result has, when there is no base.
    /// - Precondition: there is a base or an expert.
    package init(base: TensorStore?, experts: [(name: String, store: TensorStore)], donor: Int = 0) throws {
        hasBase = base != nil
        donorPlace = hasBase ? 0 : donor
        let all = (base.map { [(name: "base", store: $0)] } ?? []) + experts
        let folders = all.map { ModelFolder(of: $0.store) }
        let ties = try TiedEmbeddings(
            zip(all, folders).map { ($0.name, $0.store, $1?.config) }, donor: donorPlace)
        models = zip(zip(all, folders), ties.stores).map {
            Model(name: $0.0.name, store: $1, original: $0.0.store, folder: $0.1)
        }
        isTied = ties.isTied
        configs = ConfigDifferences(
            zip(all, folders).compactMap { model, folder in folder?.config.map { (model.name, $0) } },
            donor: all[donorPlace].name)
        let vocabularies = VocabularyDifferences(zip(all, folders).map { ($0.name, $1?.path) }, donor: donorPlace)
        warnings =
            folders.compactMap { $0 }.flatMap(\.warnings) + ties.warnings + vocabularies.warnings
            + (configs.warning(
                isTied: ties.isTied, wasQuantized: all.contains { !$0.store.quantizedWeights.isEmpty }
            ).map { [$0] } ?? [])
    }

    /// The model whose configuration and tokenizer the result has.
    package var donor: Model { models[donorPlace] }
    /// What that model is called: the base where adapters are folded into one.
    var donorName: String { AdaptedPath(donor.original.openedPath)?.base.modelName ?? donor.name }
    /// All models but the donor.
    package var others: [Model] { models.enumerated().filter { $0.offset != donorPlace }.map(\.element) }
    package var base: TensorStore? { hasBase ? models[0].store : nil }
    package var experts: [(name: String, store: TensorStore)] {
        models.dropFirst(hasBase ? 1 : 0).map { (name: $0.name, store: $0.store) }
    }

    /// A remark about tensors that transformers will look for in the result and not find; nil when there are none.
    func warning(ofTensorsLackingIn outputs: [TensorDescriptor]) -> Warning? {
        guard donor.folder?.config?.isForTransformers ?? false else { return nil }
        let names = Set(outputs.map(\.name))
        let counts = Dictionary(uniqueKeysWithValues: LayerStack.all(in: outputs).map { ($0.prefix, $0.count) })
        let lacking = donor.store.descriptors.filter { tensor in
            guard !names.contains(tensor.name), !ComputedBuffer.isOne(tensor) else { return false }
            // Of a stack of layers the configuration has as many as the result, unless that has none of them.
            guard let layer = LayerName(tensor.name), let count = counts[layer.prefix] else { return true }
            return layer.number < count
        }.map(\.name)
        guard let first = lacking.first else { return nil }
        let patterns = LayerPatterns.ofModules(lacking, besides: donor.store.descriptors.map(\.name))
        let shown = patterns.prefix(6).map { "--keep-base '\($0)'" }.joined(separator: " ")
        let rest = patterns.count > 6 ? " and \(patterns.count - 6) more patterns" : ""
        return Warning(
            FolderWarning.missingTensors,
            "the result lacks \(lacking.count) \(lacking.count == 1 ? "tensor" : "tensors") that \(donor.name) has, "
                + "such as \"\(first)\": transformers will fill in random numbers, unless \(shown)\(rest) takes them along"
        )
    }

    /// Makes a plan; when the models do not fit together, the error tells where their configurations differ, too.
    package func explaining<Plan>(_ plan: () throws -> Plan) throws -> Plan {
        do { return try plan() } catch let error as MergeError { throw configs.explaining(error) }
    }
}
