import Merging
import TensorCore

/// Resolves what a recipe says about the parameters of a slice, by mergekit's precedence: the source, the slice, its module, the
/// whole merge; the first that says something about a tensor counts.
///
/// Parameters of single experts go by the names that tensors have in the expert's model, others by the names in the result.
package struct SliceParameters {
    let method: MethodInfo
    let slice: Recipe.Slice
    /// Parameters of the whole merge.
    let common: ParameterScope
    let layers: SliceLayers

    package init(method: MethodInfo, slice: Recipe.Slice, common: ParameterScope, layers: SliceLayers) {
        self.method = method
        self.slice = slice
        self.common = common
        self.layers = layers
    }

    /// The parameters of a slice as the merge takes them.
    ///
    /// - Parameter fixed: values that go before everything the recipe says.
    package func parameters(fixed: [String: ParameterValue]) -> MergeParameters {
        let outer = [slice.parameters, slice.moduleParameters, common]
        var parameters = MergeParameters(fixed, experts: slice.experts.map { _ in [:] })
        parameters.inputName = { [layers] in layers.inputName(of: $0, expert: $1) }
        // By name, for every expert; one list for parameters of the whole merge.
        var varying: [String: [[ParameterSetting]]] = [:]
        for spec in method.parameters where fixed[spec.name] == nil {
            let chains =
                spec.isPerExpert
                ? slice.experts.map { Self.chain(of: spec.name, in: [$0.parameters] + outer) }
                : [Self.chain(of: spec.name, in: outer)]
            guard chains.allSatisfy({ $0.isEmpty || $0[0].constant != nil }) else {
                varying[spec.name] = chains
                continue
            }
            for (expert, chain) in chains.enumerated() {
                if spec.isPerExpert {
                    parameters.experts[expert][spec.name] = chain.first?.constant
                } else {
                    parameters.values[spec.name] = chain.first?.constant
                }
            }
        }
        guard !varying.isEmpty else { return parameters }
        parameters.varying = Set(varying.keys)
        parameters.overrides = { [layers, varying] name, expert, tensor in
            guard let chains = varying[name] else { return nil }
            let input = expert.map { layers.inputName(of: tensor, expert: $0) } ?? tensor
            let depth = layers.depth(of: tensor)
            return chains[expert ?? 0].lazy.compactMap { $0.value(for: input, depth: depth) }.first
        }
        return parameters
    }

    /// What is said about a parameter, the most particular first, up to what holds for every tensor.
    private static func chain(of name: String, in scopes: [ParameterScope]) -> [ParameterSetting] {
        let all = scopes.compactMap { $0[name] }
        let end = all.firstIndex { $0.saysSomethingAboutAll }
        return Array(end.map { all[...$0] } ?? all[...])
    }
}

/// Where the layers of a slice come from and how deep they lie.
package enum SliceLayers: Sendable {
    /// Whole models: the number of layers in each stack, by the prefix of its names.
    case whole(counts: [String: Int])
    /// Layers with new numbers: the first number in the result, how many there are, and the first layer in each expert.
    case moved(first: Int, count: Int, expertFirst: [Int])

    /// From 0 at the first layer to 1 at the last, 1 for the layer of a slice that has one, 0 outside of layers.
    func depth(of tensor: TensorName) -> Double {
        guard let name = LayerName(tensor) else { return 0 }
        let (number, count) =
            switch self {
            case .whole(let counts): (name.number, counts[name.prefix] ?? 1)
            case .moved(let first, let count, _): (name.number - first, count)
            }
        return count > 1 ? min(1, max(0, Double(number) / Double(count - 1))) : 1
    }

    /// What a tensor of the result is called in the model of an expert.
    func inputName(of tensor: TensorName, expert: Int) -> TensorName {
        guard case .moved(let first, _, let expertFirst) = self, let name = LayerName(tensor) else { return tensor }
        return name.inLayer(name.number - first + expertFirst[expert])
    }
}
