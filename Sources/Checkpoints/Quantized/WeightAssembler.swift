import TensorCore

/// Puts the parts of quantised weights together, by the layouts of the libraries that write them.
///
/// A weight is put together only where every part has its place and shapes leave one meaning; what does not fit stays parts.
/// docs/quantised-models.md has a table of the layouts.
struct WeightAssembler {
    /// A weight with the parts that it is made of.
    struct Assembled {
        let descriptor: TensorDescriptor
        let weight: QuantizedWeight
        let parts: [TensorName]
    }

    private let store: TensorStore
    private let config: QuantizationConfig
    private let parts: Set<TensorName>
    private let modules: ModuleTensors

    /// Looks at a checkpoint.
    ///
    /// - Parameter parts: those that were recognised in it.
    init(_ store: TensorStore, parts: Set<TensorName>, config: QuantizationConfig) {
        self.store = store
        self.config = config
        self.parts = parts
        modules = ModuleTensors(store.descriptors)
    }

    /// The weights that can be put together, by the names of their codes.
    func weights() -> [TensorName: Assembled] {
        guard config.isUnderstood, !config.needsMoreThanWeights else { return [:] }
        var found: [TensorName: Assembled] = [:]
        for name in modules.order {
            guard let leaves = modules[name], leaves.all.contains(where: { parts.contains($0.name) }) else {
                continue
            }
            let module = QuantizedModule(store, name, leaves, parts: parts, config: config)
            for draft in module.drafts() {
                guard let codes = leaves[draft.codes] else { continue }
                let target = ModuleTensors.join(name, draft.leaf)
                let own = draft.parts.compactMap { leaves[$0]?.name }
                guard target == codes.name || store.index(of: target) == nil,
                    let descriptor = try? TensorDescriptor(name: target, dtype: .f32, shape: Shape(draft.dims))
                else { continue }
                found[codes.name] = Assembled(descriptor: descriptor, weight: draft.weight, parts: own)
            }
        }
        return found
    }
}

/// What a module's parts make.
struct WeightDraft {
    /// The codes, and what the weight is called, without the module.
    let codes: String
    let leaf: String
    /// All that it takes, the codes among it.
    let parts: [String]
    let dims: [Int]
    let weight: QuantizedWeight
}
