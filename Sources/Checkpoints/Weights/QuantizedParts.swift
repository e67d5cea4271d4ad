import TensorCore

/// The search for parts of quantised weights: modules, and the leaves of the names in them.
struct QuantizedParts {
    private typealias Leaves = ModuleTensors.Leaves

    /// The parts found so far.
    private(set) var schemes: [TensorName: QuantizationScheme] = [:]
    /// The codes that parts belong to, or the name of the weight.
    private(set) var owners: [TensorName: TensorName] = [:]
    let modules: ModuleTensors
    private let descriptors: [TensorDescriptor]

    init(_ descriptors: [TensorDescriptor]) {
        self.descriptors = descriptors
        modules = ModuleTensors(descriptors)
    }

    mutating func add(_ tensor: TensorDescriptor?, _ scheme: QuantizationScheme, of owner: TensorName? = nil) {
        guard let tensor, schemes[tensor.name] == nil else { return }
        schemes[tensor.name] = scheme
        owners[tensor.name] = owner
    }

    // MARK: - Codes with scales beside them

    /// What follows the name of a weight in those of its parts: `weight_scale`, `weight_packed`.
    private static let suffixes = [
        "_scale_inv", "_scale", "_scale_2", "_scales", "_global_scale", "_zero_point", "_zeros", "_shape", "_g_idx",
    ]

    /// DeepSeek (`weight_scale_inv`, and `scale` beside `weight`), FBGEMM, compressed-tensors, ModelOpt, gpt-oss, and the names of
    /// ComfyUI (`scale_weight`).
    mutating func findCodesWithScales() {
        for module in modules.order {
            guard let leaves = modules[module] else { continue }
            for leaf in leaves.names {
                guard let codes = leaves[leaf], codes.dtype.mayHoldCodes else { continue }
                let weight = ["_packed", "_blocks"].lazy.compactMap { Self.stem(of: leaf, before: $0) }.first ?? leaf
                let names =
                    Self.suffixes.map { weight + $0 } + ["scale_\(weight)"] + (weight == "weight" ? ["scale"] : [])
                // `weight_block_scale` and the like, whatever stands between.
                let others = leaves.names(startingWith: "\(weight)_").filter {
                    $0.contains("scale") && !names.contains($0)
                }
                let scales = (names + others).compactMap { leaves[$0] }
                // Integers in a list are numbers of something, and a shape or an order beside codes is no evidence of any.
                guard codes.dtype.isFloatingPoint || codes.shape.rank > 1, !Self.isScale(leaf),
                    scales.contains(where: { scale in !Self.companions.contains { scale.name.text.hasSuffix($0) } })
                else { continue }
                let scheme = Self.scheme(of: codes, scales: scales)
                add(codes, scheme)
                for scale in scales { add(scale, scheme, of: codes.name) }
            }
        }
    }

    /// What stands before an ending that marks codes; nil for a name without it.
    static func stem(of leaf: String, before ending: String) -> String? {
        leaf.hasSuffix(ending) ? String(leaf.dropLast(ending.count)) : nil
    }

    /// Endings of parts that come along with scales.
    private static let companions = ["_shape", "_g_idx"]

    private static func isScale(_ leaf: String) -> Bool {
        leaf.hasPrefix("scale_") || suffixes.contains { leaf.hasSuffix($0) }
    }

    private static func scheme(of codes: TensorDescriptor, scales: [TensorDescriptor]) -> QuantizationScheme {
        if codes.dtype.isEightBitFloat { return .fp8 }
        if codes.dtype == .i8 { return .int8 }
        let hasFloatScales = scales.contains { $0.dtype.isEightBitFloat && $0.dtype != .f8E8M0 }
        if hasFloatScales { return .nvfp4 }
        let isBlocks = codes.name.text.hasSuffix("_blocks") || codes.dtype == .f4
        if isBlocks || scales.contains(where: { $0.dtype == .u8 || $0.dtype == .f8E8M0 }) { return .mxfp4 }
        return .packed
    }

    // MARK: - Groups of several parts

    mutating func findGroups() {
        for module in modules.order {
            guard let leaves = modules[module] else { continue }
            if let codes = leaves["qweight"] { add(codes, leaves, ["qzeros", "scales", "g_idx", "perm"], gptqOrAWQ) }
            if let codes = leaves["weight"], codes.dtype == .u32, leaves["scales"] != nil {
                add(codes, leaves, ["scales", "biases"]) { _, _ in .mlx }
            }
            // gpt-oss as its authors have it, before transformers renames its tensors.
            if let codes = leaves["blocks"], codes.dtype == .u8, leaves["scales"]?.dtype == .u8 {
                add(codes, leaves, ["scales"]) { _, _ in .mxfp4 }
            }
            if let codes = leaves["q_weight"] {
                add(codes, leaves, leaves.names(startingWith: "q_")) { _, _ in .exl2 }
            }
            if let codes = leaves["trellis"], codes.dtype.mayHoldCodes {
                add(codes, leaves, leaves.names.filter { $0 != "bias" }) { _, _ in .exl3 }
            }
            // torchao flattens a weight to `_weight_qdata` and `_weight_scale`, or `weight:qdata` and `weight:scale`.
            for leaf in leaves.names where leaf != "qdata" {
                guard let codes = leaves[leaf], codes.dtype.mayHoldCodes,
                    let stem = ["qdata", ":_data"].lazy.compactMap({ Self.stem(of: leaf, before: $0) }).first
                else { continue }
                add(codes, leaves, leaves.names(startingWith: stem)) { _, _ in .torchao }
            }
            if let codes = leaves["weight"], leaves["SCB"] != nil {
                add(codes, leaves, ["SCB", "weight_format", "SCBt", "CB", "CxB"]) { _, _ in .bitsandbytes8 }
            }
            if let codes = leaves["W_q"] {
                add(codes, leaves, leaves.names.filter { $0 != "bias" }) { _, _ in .hqq }
            }
            if let codes = leaves["codes"], leaves["codebooks"] != nil {
                add(codes, leaves, ["codebooks", "scales"]) { _, _ in .aqlm }
            }
            // Here the module is the weight itself, and its name may have a tensor, too.
            if leaves["absmax"] != nil || leaves["quant_map"] != nil {
                add(below: module, leaves, codes: nil, .bitsandbytes4)
            } else if let codes = leaves["_data"], codes.dtype.mayHoldCodes, leaves["_scale"] != nil {
                add(below: module, leaves, codes: codes, .quanto)
            } else if let codes = leaves["qdata"], codes.dtype.mayHoldCodes {
                add(below: module, leaves, codes: codes, .torchao)
            }
        }
    }

    private mutating func add(
        _ codes: TensorDescriptor, _ leaves: Leaves, _ others: some Sequence<String>,
        _ scheme: (TensorDescriptor, Leaves) -> QuantizationScheme
    ) {
        let scheme = scheme(codes, leaves)
        add(codes, scheme)
        for leaf in others { add(leaves[leaf], scheme, of: codes.name) }
    }

    /// Adds what lies below a weight, and what has its name.
    ///
    /// - Parameter codes: nil where they have the name of the weight.
    private mutating func add(
        below weight: TensorName, _ leaves: Leaves, codes: TensorDescriptor?, _ scheme: QuantizationScheme
    ) {
        let state = modules[TensorName(weight.text + ".quant_state")]
        for tensor in [leaves, state].compactMap({ $0?.all }).joined() {
            add(tensor, scheme, of: codes?.name ?? weight)
        }
        let (module, leaf) = ModuleTensors.split(weight)
        add(modules[module]?[leaf], scheme)
    }

    /// GPTQ packs inputs, AWQ outputs: there the codes have fewer columns than the scales.
    private func gptqOrAWQ(_ codes: TensorDescriptor, _ leaves: Leaves) -> QuantizationScheme {
        guard leaves["g_idx"] == nil, let columns = leaves["scales"]?.shape.dims.last else { return .gptq }
        return codes.shape.dims.last == columns ? .gptq : .awq
    }

    // MARK: - The whole

    /// Scales of activations and caches, which belong to quantised modules.
    mutating func findActivationScales() {
        guard let scheme = mainScheme(method: nil) else { return }
        for descriptor in descriptors
        where Quantization.isActivationScale(ModuleTensors.split(descriptor.name).leaf) {
            add(descriptor, scheme)
        }
    }

    /// The scheme of most parts, the first by name among equals; the configuration tells GPTQ and its relatives apart.
    func mainScheme(method: String?) -> QuantizationScheme? {
        var counts: [QuantizationScheme: Int] = [:]
        for scheme in schemes.values { counts[scheme, default: 0] += 1 }
        let main = counts.max { ($0.value, $1.key.name) < ($1.value, $0.key.name) }?.key
        guard let main, let method, main == .gptq || main == .awq || main == .packed else { return main }
        return method == "compressed-tensors" || method == "quantized" ? main : .named(method)
    }
}
