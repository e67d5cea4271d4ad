import TensorCore

/// Codes of layouts that have no rule of their own: refused rather than taken for numbers or for buffers.
///
/// What tells them from those is small: a tensor of floating-point numbers in their module, or in one below, that is smaller than
/// they are. Of 8-bit floats, which are weights as well as codes, its name has to say that it is a scale.
extension QuantizedParts {
    /// Finds what no rule explains, and the numbers beside it.
    ///
    /// - Parameters:
    ///   - method: what the configuration calls a method; then all that may be codes is.
    ///   - isBesideWeights: whether other parts were put together to weights already.
    mutating func findRest(method: String?, isBesideWeights: Bool) {
        let helpers = modulesOfQuantizers()
        var bare: [TensorDescriptor] = []
        for module in modules.order {
            guard let leaves = modules[module] else { continue }
            let unknown = leaves.names.filter { isUnknown($0, in: module, leaves, hasMethod: method != nil) }
            guard !unknown.isEmpty else { continue }
            // At the top of a model everything lies together.
            let own = module.text.isEmpty ? [] : Self.numbers(of: leaves)
            for leaf in unknown {
                guard let codes = leaves[leaf] else { continue }
                let numbers =
                    own.prefix { $0.elementCount < codes.elementCount }.filter { Self.isScale($0, of: codes) }
                    + self.numbers(near: codes, leaf, in: module, leaves, helpers[module] ?? [])
                if method == nil, numbers.isEmpty {
                    if codes.dtype.isFloatingPoint { bare.append(codes) }
                    guard [.i8, .u8].contains(codes.dtype), leaf.hasSuffix("weight") else { continue }
                }
                let scheme = method.map(QuantizationScheme.named) ?? Self.scheme(ofUnknown: codes)
                add(codes, scheme)
                for number in numbers { add(number, scheme, of: codes.name) }
            }
        }
        // Where other weights are quantised these are, too, and have lost their scales.
        guard isBesideWeights || !schemes.isEmpty else { return }
        for codes in bare { add(codes, Self.scheme(ofUnknown: codes)) }
    }

    /// Whether a tensor may be codes, and no rule says so.
    private func isUnknown(
        _ leaf: String, in module: TensorName, _ leaves: ModuleTensors.Leaves, hasMethod: Bool
    ) -> Bool {
        guard let tensor = leaves[leaf], schemes[tensor.name] == nil, tensor.elementCount > 0,
            !ComputedBuffer.isOne(tensor), !Quantization.isActivationScale(leaf)
        else { return false }
        let isMatrix = tensor.dtype.mayHoldCodes && tensor.shape.rank >= 2
        guard tensor.dtype.isInteger else { return isMatrix }
        // Integers beside a weight are a mask, unless there is a method.
        let hasWeight = ["weight", "kernel"].contains { leaves[$0]?.dtype.isComputable ?? false }
        // SpQR and the like have lists, of 64 bits too.
        let isList = tensor.dtype != .bool && tensor.elementCount > 1 && !module.text.isEmpty && !hasWeight
        return hasMethod ? isMatrix || isList : isMatrix && (!hasWeight || leaf.hasSuffix("weight"))
    }

    private static func scheme(ofUnknown codes: TensorDescriptor) -> QuantizationScheme {
        codes.dtype.isFloatingPoint ? .fp8 : codes.dtype == .i8 ? .int8 : .packed
    }

    /// The floating-point numbers of a module that may go with codes, the smallest tensor first.
    private static func numbers(of leaves: ModuleTensors.Leaves) -> [TensorDescriptor] {
        leaves.names.filter { !$0.hasSuffix("bias") }.compactMap { leaves[$0] }.filter(\.dtype.isComputable)
            .sorted { $0.elementCount < $1.elementCount }
    }

    /// The floating-point numbers that have the name of codes before their own, or lie in a module for them alone.
    ///
    /// - Parameter helpers: modules below that the module has for quantising.
    private func numbers(
        near codes: TensorDescriptor, _ leaf: String, in module: TensorName, _ leaves: ModuleTensors.Leaves,
        _ helpers: [TensorName]
    ) -> [TensorDescriptor] {
        // `weight_s` can be nothing else.
        var found = leaves.names(startingWith: "\(leaf)_").filter { !$0.hasSuffix("bias") }.compactMap { leaves[$0] }
        let stem = Self.stem(of: leaf, before: "weight") ?? leaf
        if module.text.isEmpty {
            found += leaves.names(startingWith: stem).compactMap { leaves[$0] }.filter { Self.isScale($0, of: codes) }
        }
        for below in helpers + [ModuleTensors.join(module, leaf)] {
            found += modules[below].map { $0.all.filter { Self.isScale($0, of: codes) } } ?? []
        }
        return found.filter { $0.dtype.isComputable && $0.elementCount < codes.elementCount }
    }

    /// Whether a tensor goes with codes. TensorRT-LLM has `weights_scaling_factor`, Quark `weight_quantizer.scale`, ModelOpt
    /// `weight_quantizer._amax`, others `w_scale`.
    private static func isScale(_ tensor: TensorDescriptor, of codes: TensorDescriptor) -> Bool {
        let leaf = ModuleTensors.split(tensor.name).leaf
        guard codes.dtype.isFloatingPoint else { return !Quantization.isActivationScale(leaf) }
        return ["scale", "scaling", "amax", "absmax"].contains(where: leaf.lowercased().contains)
    }

    /// By the module that they lie in, the modules that libraries add to it: `weight_quantizer`.
    private func modulesOfQuantizers() -> [TensorName: [TensorName]] {
        var found: [TensorName: [TensorName]] = [:]
        for name in modules.order {
            let (module, last) = ModuleTensors.split(name)
            if last.contains("quant") { found[module, default: []].append(name) }
        }
        return found
    }
}
