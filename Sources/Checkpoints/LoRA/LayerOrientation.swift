import TensorCore

/// Which way round the linear layers of a base are stored, as its tensors and an adapter's factors tell.
///
/// `fan_in_fan_out` says that they are `[inputs, outputs]`, as those of GPT-2 are. PEFT knows the layers and passes over the key where it
/// is wrong; here shapes tell: those of factors on weights that are not square, else those of the base's biases. GPT-2's kind of layer
/// always has a bias, so that layers without any are ordinary ones.
enum LayerOrientation: Hashable {
    case outputsFirst, inputsFirst
    /// Everything is square, or no linear layer is changed.
    case unknown

    /// Looks at the weights that an adapter changes, and then at all.
    ///
    /// - Parameters:
    ///   - factors: of the adapter's linear layers, `[outputs, inputs]`, with the places of the weights in the base.
    ///   - base: the whole of it, and the place of each name.
    init(
        factors: [(place: Int, outputs: Int, inputs: Int)], base: [TensorDescriptor], places: [TensorName: Int]
    ) {
        guard !factors.isEmpty else {
            self = .unknown
            return
        }
        var found: Set<LayerOrientation> = []
        for factor in factors where factor.outputs != factor.inputs {
            let dims = base[factor.place].shape.dims
            if dims == [factor.inputs, factor.outputs] { found.insert(.inputsFirst) }
            if dims == [factor.outputs, factor.inputs] { found.insert(.outputsFirst) }
        }
        func bias(of weight: TensorDescriptor) -> [Int]? {
            guard weight.name.text.hasSuffix(".weight"), weight.shape.rank == 2 else { return nil }
            return places[TensorName("\(weight.name.text.dropLast("weight".count))bias")].map { base[$0].shape.dims }
        }
        if found.isEmpty {
            for weight in base where Set(weight.shape.dims).count == 2 {
                guard let length = bias(of: weight) else { continue }
                if length == [weight.shape.dims[0]] { found.insert(.outputsFirst) }
                if length == [weight.shape.dims[1]] { found.insert(.inputsFirst) }
            }
        }
        // A head may be an ordinary layer beside the others.
        if found.contains(.inputsFirst) {
            self = .inputsFirst
        } else if found.isEmpty, factors.contains(where: { bias(of: base[$0.place]) != nil }) {
            self = .unknown
        } else {
            self = .outputsFirst
        }
    }
}
