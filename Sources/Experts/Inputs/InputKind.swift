import Checkpoints
import TensorCore

/// What a checkpoint holds, as far as its tensors tell, so that an error can say what was given in the place of something else.
enum InputKind {
    case images
    case texts
    case head
    /// A model that can be computed.
    case computed(Architecture)
    /// Another model, and the tensor that tells it.
    case model(ModelFamily, TensorName)
    case unknown

    init(of store: TensorStore) {
        let names = store.descriptors.map(\.name)
        let headNames: Set<TensorName> = ["weight", "bias", "logit_scale", "normalize"]
        if let images = store.descriptor(named: "images"), (3...4).contains(images.shape.rank) {
            self = .images
        } else if store.descriptor(named: "input_ids")?.shape.isMatrix == true {
            self = .texts
        } else if store.descriptor(named: "weight")?.shape.isMatrix == true, headNames.isSuperset(of: names) {
            self = .head
        } else if let architecture = Architecture.all.first(where: {
            !$0.hasAnybodysNames && !$0.models(in: store).isEmpty
        }) {
            self = .computed(architecture)
        } else if let (family, evidence) = ModelFamily.of(names) {
            self = .model(family, evidence)
        } else {
            self = .unknown
        }
    }

    /// What may have happened where another kind is needed.
    static let swapHint = "perhaps the files of models, heads and data are swapped"

    /// What it is, to follow "holds".
    var text: String {
        switch self {
        case .images: "images"
        case .texts: "texts"
        case .head: "a head"
        case .computed(let architecture): "a whole model (\(architecture.name))"
        case .model(let family, _): family.isAdapter ? family.name : "a whole model (\(family.name))"
        case .unknown: "other tensors"
        }
    }
}
