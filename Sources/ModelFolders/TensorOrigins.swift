import TensorCore

/// Which tensors of which models every tensor of a result was merged from. In a stack of layers they have other names there.
package struct TensorOrigins: Sendable {
    /// One tensor of a model.
    package struct Source: Sendable, Hashable {
        /// The model's place among the inputs.
        package let model: Int
        package let tensor: TensorName
        /// Whether task vectors are taken from it.
        package let isBase: Bool

        package init(model: Int, tensor: TensorName, isBase: Bool) {
            self.model = model
            self.tensor = tensor
            self.isBase = isBase
        }
    }

    package init() {}

    private var sources: [TensorName: [Source]] = [:]

    package mutating func add(_ tensor: TensorName, from sources: [Source]) { self.sources[tensor] = sources }

    /// What a tensor of the result was merged from.
    subscript(tensor: TensorName) -> [Source] { sources[tensor] ?? [] }

    /// The tensors that take part, for every model, each once.
    ///
    /// - Parameter tensors: those of the result, in the order to list them in.
    func tensors(ofModels count: Int, for tensors: [TensorName]) -> [[TensorName]] {
        var names = [[TensorName]](repeating: [], count: count)
        var seen = [Set<TensorName>](repeating: [], count: count)
        for source in tensors.flatMap({ self[$0] }) where seen[source.model].insert(source.tensor).inserted {
            names[source.model].append(source.tensor)
        }
        return names
    }
}
