import Checkpoints
import SystemPackage
import TensorCore

extension InputError {
    /// A checkpoint that is none of the models that can be computed, or not the one that is needed beside another.
    ///
    /// - Parameters:
    ///   - wanted: the family that it should be of; nil stands for any.
    ///   - config: the configuration file; nil takes the one beside the checkpoint.
    static func unknownModel(
        _ store: TensorStore, wanted: Architecture? = nil, config: FilePath? = nil
    ) -> InputError {
        let path = store.path.string
        var hint = Architecture.anyModelHint
        let message: String
        func and(_ nearest: NearestArchitecture?) -> String { nearest.map { "; \($0.text)" } ?? "" }
        let nearest = NearestArchitecture(
            of: store, among: wanted.map { [$0] } ?? Architecture.all.filter { !$0.hasAnybodysNames })
        let missing = nearest?.missing ?? wanted?.marks[0] ?? Architecture.all[0].marks[0]
        switch InputKind(of: store) {
        case .images, .texts, .head:
            message = "\(path) holds \(InputKind(of: store).text), and a model is needed"
            hint = InputKind.swapHint
        case .computed(let architecture) where wanted != nil:
            message =
                "\(path) has the tensor names of \(architecture.name), and those of \(wanted?.name ?? "") are needed"
            hint = "base and experts have to be of one architecture"
        case .model(let family, let evidence):
            let type = modelType(config, of: store).map { ", model_type \"\($0)\"" } ?? ""
            message =
                "\(path) has the tensor names of \(family.name) (\"\(evidence)\"\(type)), which is not computed"
                + and(nearest)
            hint =
                family.isAdapter
                ? "write its base in front of it: BASE+ADAPTER" : lookedFor
        case .computed, .unknown:
            let type = modelType(config, of: store).map { "; its configuration says \"\($0)\"" } ?? ""
            message = "\(path) has the tensor names of no model that is computed\(type)" + and(nearest)
            hint = lookedFor
        }
        return InputError(
            .missingTensor, message.escapingControlCharacters, file: store.path, tensor: TensorName(missing),
            hint: hint.escapingControlCharacters)
    }

    /// All families, with the tensor that tells each.
    private static var lookedFor: String {
        var names: Set<String> = []
        // A family of several namings is one.
        let families = Architecture.all.filter { names.insert($0.name).inserted }
        return "computed are "
            + families.map { "\($0.name) (\($0.marks[0])\($0.hasAnybodysNames ? ", model_type \"mlp\"" : ""))" }
            .joined(separator: ", ") + "; " + Architecture.anyModelHint
    }

    /// What a configuration calls the model, if there is one that can be read.
    static func modelType(_ config: FilePath?, of store: TensorStore) -> String? {
        let path = config ?? CheckpointFolder.folder(of: store.path).appending("config.json")
        guard let document = JSONDocument.read(path) else { return nil }
        return document["model_type"]?.string ?? document["architectures"]?.array?.compactMap(\.string).first
            ?? document["architecture"]?.string
    }
}

/// The family whose tensors a checkpoint has most of, as far as the first block and what is outside of blocks tell.
private struct NearestArchitecture {
    /// What it has of it, as in "nearest is Hugging Face's ViT, of whose 12 tensors it has 11: the first missing is ...".
    let text: String
    /// The name of the first tensor that is missing.
    let missing: String

    /// Looks for the family; nil when a checkpoint has less than half of every one's tensors.
    init?(of store: TensorStore, among families: [Architecture]) {
        var best: (family: Architecture, prefix: String, count: Int, share: Double)?
        for family in families {
            let evidence = family.rules.flatMap(\.evidence)
            var counts: [String: Int] = [:]
            for mark in evidence {
                for descriptor in store.descriptors {
                    if let prefix = Architecture.prefix(of: descriptor.name.text, before: mark) {
                        counts[prefix, default: 0] += 1
                    }
                }
            }
            for (prefix, count) in counts {
                let share = Double(count) / Double(evidence.count)
                let isBetter = best.map { (share, prefix) > ($0.share, $0.prefix) } ?? true
                if isBetter { best = (family, prefix, count, share) }
            }
        }
        guard let best, best.share >= 0.5 else { return nil }
        let tensors = ModelTensors(store: store, prefix: best.prefix)
        let evidence = best.family.rules.flatMap(\.evidence)
        guard let missing = (evidence + best.family.marks).first(where: { !tensors.has($0) }) else { return nil }
        self.missing = tensors.name(missing).text
        text =
            "nearest is \(best.family.name), of which it has \(best.count) of the \(evidence.count) tensors looked for: the first "
            + "missing is \"\(self.missing)\""
    }
}
