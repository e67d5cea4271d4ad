import Checkpoints
import SystemPackage
import TensorCore

/// The models of several recipes, each opened once where all of them see the same tensors in it.
final class OpenedModels {
    let session: Session
    private var models: [Key: [Model]] = [:]

    private struct Key: Hashable {
        let path: FilePath
        let keepsParts: Bool
    }

    private struct Model {
        let store: TensorStore
        let sharedBase: FilePath?
    }

    init(_ session: Session) { self.session = session }

    /// Opens a model, if no recipe before has.
    ///
    /// - Throws: what the reader throws.
    func open(_ path: FilePath, options: ReadOptions) throws -> TensorStore {
        let key = Key(path: path, keepsParts: options.keepsParts)
        let known = models[key]?.first { model in
            // Only Skein asks what it was stored against.
            model.store.reader.format != .skein || model.sharedBase == options.sharedBase
        }
        if let known { return known.store }
        let store = try session.open(path, options: options)
        models[key, default: []].append(Model(store: store, sharedBase: options.sharedBase))
        return store
    }
}
