import Checkpoints
import Merging
import TensorCore

/// Keys of `config.json` in which the models of a merge differ.
///
/// Tensors that fit do not show that models compute alike: another `rope_theta` or activation gives another model with the same
/// shapes.
struct ConfigDifferences {
    /// One key with what each model says, those with the same value together.
    struct Difference {
        let key: String
        let models: String
    }

    let differences: [Difference]
    private let donor: String

    /// Keys that say nothing about what a model computes.
    private static let ignored: Set<String> = [
        "_name_or_path", "name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "auto_map",
        "_attn_implementation_autoset", "unsloth_version", "unsloth_fixed",
    ]

    /// Compares the configurations of models.
    ///
    /// - Parameters:
    ///   - models: those with a file.
    ///   - donor: the name of the model whose file goes along with the result.
    init(_ models: [(name: String, config: ModelConfig)], donor: String) {
        self.donor = donor
        var keys: [String] = []
        for key in models.flatMap({ $0.config.root.object.map { $0.map(\.key) } ?? [] })
        where !Self.ignored.contains(key) && !keys.contains(key) {
            keys.append(key)
        }
        differences = keys.compactMap { key in
            let values = models.map { $0.config.root[key]?.comparableText ?? "-" }
            guard values.contains(where: { $0 != values[0] }) else { return nil }
            var groups: [(value: String, names: [String])] = []
            for (model, value) in zip(models, values) {
                if let place = groups.firstIndex(where: { $0.value == value }) {
                    groups[place].names.append(model.name)
                } else {
                    groups.append((value, [model.name]))
                }
            }
            let text = groups.map { "\(Self.shortened($0.value)) in \($0.names.joined(separator: ", "))" }
            return Difference(key: key, models: text.joined(separator: "; "))
        }
    }

    /// One line for models whose tensors fit all the same; nil when nothing differs that the result inherits.
    ///
    /// - Parameters:
    ///   - isTied: what the result says of its output head, whatever the models say; nil when it inherits that, too.
    ///   - wasQuantized: whether models are worked on as numbers, so that the result says nothing of codes.
    func warning(isTied: Bool?, wasQuantized: Bool) -> Warning? {
        // The number of layers is counted in the result.
        let decided =
            ModelConfig.layerCountKeys + (isTied == nil ? [] : [ModelConfig.tieKey])
            + (wasQuantized ? QuantizationConfig.keys : [])
        let differences = differences.filter { !decided.contains($0.key) }
        guard !differences.isEmpty else { return nil }
        let shown = 6
        let list = differences.prefix(shown).map { "\($0.key) (\($0.models))" }.joined(separator: ", ")
        let rest = differences.count > shown ? " and \(differences.count - shown) more keys" : ""
        return Warning(
            FolderWarning.configDiffers,
            "config.json differs between the models in \(list)\(rest); the result has the one of \(donor)")
    }

    /// The error of models that do not fit together, with the keys among its details: they often say why.
    package func explaining(_ error: MergeError) -> MergeError {
        guard error.reason == .incompatible, !differences.isEmpty else { return error }
        var error = error
        error.details?.append(
            differences.map {
                ["config.json \($0.key)", "config", $0.models, Self.remedy(for: $0.key)]
            })
        return error
    }

    private static func remedy(for key: String) -> String {
        if ModelConfig.layerCountKeys.contains(key) { return "choose layers with slices in a recipe" }
        if key == "vocab_size" { return "give all models one vocabulary" }
        return "merge models of one architecture and size"
    }

    private static func shortened(_ text: String) -> String {
        // Whole numbers were read as doubles.
        let text = text.hasSuffix(".0") ? String(text.dropLast(2)) : text
        return text.count <= 40 ? text : text.prefix(37) + "..."
    }
}
