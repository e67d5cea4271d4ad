import TensorCore

extension CheckpointView {
    /// Shows the weights of a quantised checkpoint, as F32, in the places of their codes and without their other parts.
    ///
    /// Weights of layouts that are not known stay the parts that they are. Scales of activations and of caches are left out where all
    /// weights are put together.
    ///
    /// - Returns: nil when no weight can be put together.
    package init?(weightsOf reader: any CheckpointReader) {
        let store = TensorStore(reader)
        guard Quantization.mayBeThere(in: store) else { return nil }
        let config = QuantizationConfig(beside: reader.path)
        guard let quantization = Quantization(of: store, config: config) else { return nil }
        let weights = WeightAssembler(store, parts: quantization.parts, config: config).weights()
        guard !weights.isEmpty else { return nil }

        let used = Set(weights.values.flatMap(\.parts))
        let rest = quantization.parts.subtracting(used)
        let areForActivations = rest.allSatisfy { Quantization.isActivationScale(ModuleTensors.split($0).leaf) }
        let gone = areForActivations ? used.union(rest) : used
        let before =
            config.dtype ?? Self.usualType(of: reader.descriptors.filter { !quantization.parts.contains($0.name) })
        var tensors: [ViewedTensor] = []
        for (place, descriptor) in reader.descriptors.enumerated() {
            if let found = weights[descriptor.name] {
                tensors.append(
                    ViewedTensor(found.weight, of: reader, as: found.descriptor, before: before))
            } else if !gone.contains(descriptor.name) {
                tensors.append(ViewedTensor(reader, place, named: descriptor.name))
            }
        }
        self.init(
            reader, tensors, configuration: config.sources,
            notes: [
                Self.note(quantization, weightCount: weights.count, activationCount: areForActivations ? rest.count : 0)
            ])
    }

    /// What quantised weights were before, by those that are not: BF16 if that is what most of these bytes are, else F32.
    private static func usualType(of others: [TensorDescriptor]) -> DType {
        let byteCount = others.filter { $0.dtype == .bf16 }.reduce(0.0) { $0 + Double($1.byteCount) }
        let all = others.filter(\.dtype.isComputable).reduce(0.0) { $0 + Double($1.byteCount) }
        return 2 * byteCount > all ? .bf16 : .f32
    }

    private static func note(_ quantization: Quantization, weightCount: Int, activationCount: Int) -> Warning {
        let weights = weightCount == 1 ? "1 weight is" : "\(weightCount) weights are"
        let rest =
            activationCount == 0
            ? ""
            : "; \(activationCount) \(activationCount == 1 ? "scale" : "scales") of activations and caches left out"
        return Warning(
            WeightsWarning.dequantized,
            "\(quantization.phrase); \(weights) worked on as the numbers that codes and scales stand for\(rest)")
    }
}
