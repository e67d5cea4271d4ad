import TensorCore

/// A prefix that one model's tensor names have and another's lack, such as `bert.` or `model.`.
///
/// Variants of one architecture are often saved with and without the name of the outer module; then nearly every tensor is
/// missing on both sides, and one rename makes the models fit.
struct NamePrefix {
    /// What a user can do about it.
    let remedy: String
    /// The names, as the first model has them, that the rename would bring together.
    let names: Set<TensorName>

    /// The prefixes that tell the names of other models from those of the first.
    ///
    /// - Parameter wanted: the names that take part.
    static func all(of models: [MergeModel], among wanted: [TensorName]) -> [NamePrefix] {
        models.dropFirst().compactMap { model in
            func names(of one: MergeModel, notIn other: MergeModel) -> [TensorName] {
                wanted.filter { one.store.index(of: $0) != nil && other.store.index(of: $0) == nil }
            }
            return NamePrefix(
                missing: names(of: models[0], notIn: model), extra: names(of: model, notIn: models[0]),
                model: model.name)
        }
    }

    /// Looks for a prefix that explains why most of the names are missing.
    ///
    /// - Parameters:
    ///   - missing: names that only the reference has.
    ///   - extra: names that only the model has.
    init?(missing: [TensorName], extra: [TensorName], model: String) {
        guard let first = missing.first else { return nil }
        let extras = Set(extra)
        for other in extra {
            if other.text.hasSuffix("." + first.text) {
                let prefix = String(other.text.dropLast(first.text.count))
                self.init(missing, extras, { TensorName(prefix + $0.text) }, "'^\(Self.escaped(prefix))=>'", model)
                return
            }
            if first.text.hasSuffix("." + other.text) {
                let prefix = String(first.text.dropLast(other.text.count))
                self.init(
                    missing, extras,
                    { $0.text.hasPrefix(prefix) ? TensorName(String($0.text.dropFirst(prefix.count))) : $0 },
                    "'^=>\(prefix)'", model)
                return
            }
        }
        return nil
    }

    private init?(
        _ missing: [TensorName], _ extras: Set<TensorName>, _ counterpart: (TensorName) -> TensorName, _ rule: String,
        _ model: String
    ) {
        let explained = missing.filter { extras.contains(counterpart($0)) }
        guard explained.count * 2 >= missing.count else { return nil }
        remedy = "rename in \(model): untangle convert --rename \(rule)"
        names = Set(explained).union(explained.map(counterpart))
    }

    private static func escaped(_ prefix: String) -> String { prefix.replacing(".", with: "\\.") }
}
