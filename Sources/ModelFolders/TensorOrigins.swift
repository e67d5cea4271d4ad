import TensorCore

/// Which models every tensor of a result was merged from.
package struct TensorOrigins: Sendable {
    /// One model that gave a tensor.
    package struct Source: Sendable, Hashable {
        /// The model's place among the inputs.
        package let model: Int
        /// Whether task vectors are taken from it.
        package let isBase: Bool

        package init(model: Int, isBase: Bool) {
            self.model = model
            self.isBase = isBase
        }
    }

    private var sources: [TensorName: [Source]] = [:]

    package init() {}

    /// Adds a tensor of the result.
    ///
    /// - Parameter sources: the models of its plan, in their order there.
    package mutating func add(_ tensor: TensorName, from sources: [Source]) { self.sources[tensor] = sources }

    /// What a tensor of the result was merged from, in the order of its plan.
    package subscript(tensor: TensorName) -> [Source] { sources[tensor] ?? [] }
}
