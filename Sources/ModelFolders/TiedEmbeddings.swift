import Checkpoints
import Glibc
import Merging
import TensorCore

/// Makes models agree on the output head, which may be the embedding matrix under another name.
///
/// A head that is the embedding matrix in every model, as `tie_word_embeddings` says, is merged and written once. So is one that a PyTorch
/// file stores as a view of the same numbers, where the configuration says nothing: many models of transformers are tied unless theirs
/// says no. Where only some models have a head of their own, the others lend their embeddings for it, as in mergekit, and the result
/// has a head of its own.
public struct TiedEmbeddings {
    public private(set) var stores: [TensorStore]
    public private(set) var warnings: [Warning] = []
    /// The heads that are written once, and the embeddings that they are.
    public private(set) var ties: [(head: TensorName, embedding: TensorName)] = []
    /// What `tie_word_embeddings` has to say of the result; nil when nothing was changed.
    private(set) var isTied: Bool?

    private static let heads: Set<Substring> = ["lm_head", "embed_out"]
    private static let embeddings: Set<Substring> = [
        "embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings", "shared",
    ]

    /// Whether a tensor is an embedding matrix of tokens, by its name.
    static func isEmbedding(_ name: TensorName) -> Bool { owner(of: name).map { embeddings.contains($0) } ?? false }

    /// Finds out which models tie their embeddings.
    ///
    /// - Parameter donor: the place of the model whose configuration the result has.
    init(_ models: [(name: String, store: TensorStore, config: ModelConfig?)], donor: Int) throws {
        stores = models.map(\.store)
        var names: [TensorName] = []
        for name in models.flatMap({ $0.store.descriptors.map(\.name) })
        where Self.owner(of: name).map({ Self.heads.contains($0) }) ?? false && !names.contains(name) {
            names.append(name)
        }
        for head in names {
            let lacking = models.indices.filter { models[$0].store.index(of: head) == nil }
            if lacking.isEmpty {
                if Self.saysTied(head, models[donor].store, models[donor].config) { try writeOnce(head, models) }
            } else {
                lend(head, to: lacking, models)
            }
        }
    }

    /// Looks at the folder of one model that is written again as it is.
    ///
    /// - Throws: what reading its head and embeddings throws.
    public init(of store: TensorStore) throws {
        let folder = ModelFolder(of: store)
        try self.init([(name: store.openedPath.string, store: store, config: folder?.config)], donor: 0)
    }

    /// Whether a model says that a head is its embedding matrix.
    private static func saysTied(_ head: TensorName, _ store: TensorStore, _ config: ModelConfig?) -> Bool {
        guard let config else { return false }
        if let says = config.tiesWordEmbeddings { return says }
        guard let shared = (store.reader as? TorchReader)?.sharedTensors, let place = embedding(for: head, in: store)
        else { return false }
        let names = [head, store.descriptors[place].name]
        return shared.contains { group in group.areEqual && names.allSatisfy(group.names.contains) }
    }

    /// Gives models without a head their embeddings in its place.
    private mutating func lend(
        _ head: TensorName, to lacking: [Int], _ models: [(name: String, store: TensorStore, config: ModelConfig?)]
    ) {
        for model in lacking {
            let store = models[model].store
            guard let place = Self.embedding(for: head, in: store) else { continue }
            let embedding = store.descriptors[place].name
            stores[model] = TensorStore(CheckpointView(store.reader, alias: head, ofTensorAt: place))
            isTied = false
            let claim =
                models[model].config?.tiesWordEmbeddings == false
                ? ", though its config.json says they are not tied" : ""
            warnings.append(
                Warning(
                    FolderWarning.headMade,
                    "\(models[model].name) has no \"\(head)\" and takes \"\(embedding)\" for it\(claim); "
                        + "the result has a head of its own"))
        }
    }

    /// Leaves the head out when it is the embedding matrix in all models.
    private mutating func writeOnce(
        _ head: TensorName, _ models: [(name: String, store: TensorStore, config: ModelConfig?)]
    ) throws {
        for model in models where try !Self.isShared(head, in: model.store) {
            warnings.append(
                Warning(
                    FolderWarning.headIgnored,
                    "config.json says that \"\(head)\" is the embedding matrix, but in \(model.name) it differs; "
                        + "transformers will ignore that of the result"))
            return
        }
        if let donor = models.first?.store, let place = Self.embedding(for: head, in: donor) {
            ties.append((head, donor.descriptors[place].name))
        }
        stores = stores.map { TensorStore(CheckpointView($0.reader, without: head)) }
        isTied = true
    }

    /// Whether head and embeddings of a model have the same bytes.
    private static func isShared(_ head: TensorName, in store: TensorStore) throws -> Bool {
        // What is not merged yet is taken for tied, as the configuration says.
        if store.reader.isPlanned { return true }
        guard let first = store.index(of: head), let second = embedding(for: head, in: store) else { return false }
        let (a, b) = (store.descriptors[first], store.descriptors[second])
        guard a.dtype == b.dtype, a.shape == b.shape else { return false }
        return try store.reader.bytes(of: first).withUnsafeBytes { x in
            try store.reader.bytes(of: second).withUnsafeBytes { y in
                x.isEmpty || memcmp(x.baseAddress!, y.baseAddress!, x.count) == 0
            }
        }
    }

    /// The embedding matrix that belongs to a head: the one whose name has most in common with it.
    private static func embedding(for head: TensorName, in store: TensorStore) -> Int? {
        let parts = head.text.split(separator: ".")
        func common(_ place: Int) -> Int {
            zip(parts, store.descriptors[place].name.text.split(separator: ".")).prefix { $0 == $1 }.count
        }
        return store.descriptors.indices.filter { isEmbedding(store.descriptors[$0].name) }
            .max { (common($0), $1) < (common($1), $0) }
    }

    /// The module that a weight belongs to: `lm_head` of `lm_head.weight`.
    private static func owner(of name: TensorName) -> Substring? {
        let parts = name.text.split(separator: ".")
        return parts.count >= 2 && parts.last == "weight" ? parts[parts.count - 2] : nil
    }
}

extension CheckpointReader {
    /// Whether there are no numbers yet, whatever the tensors are called.
    fileprivate var isPlanned: Bool { (self as? CheckpointView)?.source.isPlanned ?? (self is PlannedCheckpoint) }
}
