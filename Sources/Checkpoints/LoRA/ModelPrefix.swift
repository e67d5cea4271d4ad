import TensorCore

/// How the names of modules that an adapter was trained on become those of a checkpoint.
///
/// A model that is loaded by itself or inside of another one has names that differ by what stands in front: `layers.0` and
/// `model.layers.0`.
struct ModelPrefix: Hashable {
    private let dropped: String
    private let added: String

    private static let none = ModelPrefix(dropped: "", added: "")

    /// The name in the checkpoint; nil for one that lacks what is to be dropped.
    func name(of tensor: TensorName) -> TensorName? {
        guard tensor.text.hasPrefix(dropped) else { return nil }
        return TensorName(added + tensor.text.dropFirst(dropped.count))
    }

    /// The prefix by which all tensors of an adapter are found, none if that does.
    ///
    /// - Parameters:
    ///   - wanted: for each tensor the names that it may have, as the adapter calls it.
    ///   - names: those of the checkpoint.
    /// - Returns: none as well where no prefix does, or several do.
    static func of(_ wanted: [[TensorName]], among names: [TensorName]) -> ModelPrefix {
        let known = Set(names)
        func finds(_ prefix: ModelPrefix) -> Bool {
            wanted.allSatisfy { $0.contains { name in prefix.name(of: name).map(known.contains) ?? false } }
        }
        guard let first = wanted.first, !finds(none) else { return none }
        var candidates: Set<ModelPrefix> = []
        for name in first {
            let text = name.text
            for other in names where other.text.hasSuffix("." + text) {
                candidates.insert(ModelPrefix(dropped: "", added: String(other.text.dropLast(text.count))))
            }
            for place in text.indices where text[place] == "." {
                candidates.insert(ModelPrefix(dropped: String(text[...place]), added: ""))
            }
        }
        let found = candidates.filter(finds)
        return found.count == 1 ? found.first ?? none : none
    }
}
