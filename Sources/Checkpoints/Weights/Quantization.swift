import SystemPackage
import TensorCore

/// Which tensors of a checkpoint are parts of quantised ones: codes, scales, zero points and the like.
///
/// A part by itself is no weight: averaging scales, or casting codes without them, gives numbers that mean nothing. Parts are
/// recognised by the names and types that the libraries write which quantise, and by the configuration beside the checkpoint.
/// 8-bit floats without scales are weights like any other, unless the configuration says that they are not.
public struct Quantization: Sendable {
    /// That of most of the parts.
    public let scheme: QuantizationScheme
    public let parts: Set<TensorName>

    /// Looks at the names and types of a checkpoint, and at its configuration where they leave something open.
    ///
    /// - Returns: nil for a checkpoint without parts of quantised tensors.
    public init?(of store: TensorStore) {
        // Codes are of a type that does not compute, in every scheme.
        guard store.descriptors.contains(where: { $0.dtype.mayHoldCodes }) else { return nil }
        var search = QuantizedParts(store.descriptors)
        search.findCodesWithScales()
        search.findGroups()
        let method = QuantizationConfig(beside: store.path).method
        search.findRest(method: method)
        search.findActivationScales()
        guard let scheme = search.mainScheme(method: method) else { return nil }
        self.scheme = scheme
        parts = Set(search.schemes.keys)
    }

    /// Whether a name, without its module, is that of a scale of activations or of a cache, or of a mark that there are such.
    static func isActivationScale(_ leaf: String) -> Bool {
        [
            "input_scale", "output_scale", "scale_input", "input_scale_inv", "input_scale_ub", "input_global_scale",
            "input_zero_point", "k_scale", "v_scale", "q_scale", "kv_scale", "prob_output_scale", "scaled_fp8",
            "activation_scale", "act_scale", "_input_scale", "_output_scale",
        ].contains(leaf)
    }

    /// "quantised (fp8)".
    public var phrase: String { "quantised (\(scheme.name))" }

    /// A line for figures that were taken of the stored numbers.
    public var remarkOnStoredNumbers: Warning {
        let tensors = parts.count == 1 ? "1 tensor is a part" : "\(parts.count) tensors are parts"
        return Warning(
            WeightsWarning.storedNumbers,
            "\(tensors) of quantised weights (\(scheme.name)): figures are of the stored numbers, not of the weights")
    }
}

extension DType {
    /// Whether quantised weights are stored in the type.
    fileprivate var mayHoldCodes: Bool {
        switch self {
        case .f4, .f6E2M3, .f6E3M2, .u8, .i8, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ, .i16, .u16, .i32,
            .u32:
            true
        case .bool, .f16, .bf16, .f32, .c64, .f64, .i64, .u64, .c128: false
        }
    }

    fileprivate var isEightBitFloat: Bool { isFloatingPoint && bitWidth == 8 }
}

/// The search for parts: modules, and the leaves of the names in them.
private struct QuantizedParts {
    private typealias Leaves = ModuleTensors.Leaves

    /// The parts found so far.
    private(set) var schemes: [TensorName: QuantizationScheme] = [:]
    private let descriptors: [TensorDescriptor]
    private let modules: ModuleTensors

    init(_ descriptors: [TensorDescriptor]) {
        self.descriptors = descriptors
        modules = ModuleTensors(descriptors)
    }

    private mutating func add(_ tensor: TensorDescriptor?, _ scheme: QuantizationScheme) {
        if let tensor, schemes[tensor.name] == nil { schemes[tensor.name] = scheme }
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
            for (leaf, codes) in leaves where codes.dtype.mayHoldCodes {
                let weight =
                    leaf.hasSuffix("_packed")
                    ? String(leaf.dropLast(7))
                    : leaf.hasSuffix("_blocks") ? String(leaf.dropLast(7)) : leaf
                let names =
                    Self.suffixes.map { weight + $0 } + ["scale_\(weight)"] + (weight == "weight" ? ["scale"] : [])
                // `weight_block_scale` and the like, whatever stands between.
                let others = leaves.keys.filter {
                    $0.hasPrefix("\(weight)_") && $0.contains("scale") && !names.contains($0)
                }
                let scales = (names + others).compactMap { leaves[$0] }
                // Integers in a list are numbers of something, and a shape or an order beside codes is no evidence of any.
                guard codes.dtype.isFloatingPoint || codes.shape.rank > 1, !Self.isScale(leaf),
                    scales.contains(where: { scale in !Self.companions.contains { scale.name.text.hasSuffix($0) } })
                else { continue }
                let scheme = Self.scheme(of: codes, scales: scales)
                add(codes, scheme)
                for scale in scales { add(scale, scheme) }
            }
        }
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
            if let codes = leaves["q_weight"] {
                add(codes, leaves, leaves.keys.filter { $0.hasPrefix("q_") }) { _, _ in .exl2 }
            }
            if let codes = leaves["trellis"], codes.dtype.mayHoldCodes {
                add(codes, leaves, leaves.keys.filter { $0 != "bias" }) { _, _ in .exl3 }
            }
            // torchao flattens a weight to `_weight_qdata` and `_weight_scale`, or `weight:qdata` and `weight:scale`.
            for (leaf, codes) in leaves where codes.dtype.mayHoldCodes && leaf != "qdata" {
                guard let ending = ["qdata", ":_data"].first(where: leaf.hasSuffix) else { continue }
                let stem = leaf.dropLast(ending.utf8.count)
                add(codes, leaves, leaves.keys.filter { $0.hasPrefix(stem) }) { _, _ in .torchao }
            }
            if let codes = leaves["weight"], leaves["SCB"] != nil {
                add(codes, leaves, ["SCB", "weight_format", "SCBt", "CB", "CxB"]) { _, _ in .bitsandbytes8 }
            }
            if let codes = leaves["W_q"] {
                add(codes, leaves, leaves.keys.filter { $0 != "bias" }) { _, _ in .hqq }
            }
            if let codes = leaves["codes"], leaves["codebooks"] != nil {
                add(codes, leaves, ["codebooks", "scales"]) { _, _ in .aqlm }
            }
            // Here the module is the weight itself, and its name may have a tensor, too.
            if leaves["absmax"] != nil || leaves["quant_map"] != nil {
                add(below: module, leaves, .bitsandbytes4)
            } else if let codes = leaves["_data"], codes.dtype.mayHoldCodes, leaves["_scale"] != nil {
                add(below: module, leaves, .quanto)
            } else if let codes = leaves["qdata"], codes.dtype.mayHoldCodes {
                add(below: module, leaves, .torchao)
            }
        }
    }

    private mutating func add(
        _ codes: TensorDescriptor, _ leaves: Leaves, _ others: some Sequence<String>,
        _ scheme: (TensorDescriptor, Leaves) -> QuantizationScheme
    ) {
        let scheme = scheme(codes, leaves)
        add(codes, scheme)
        for leaf in others { add(leaves[leaf], scheme) }
    }

    /// Adds what lies below a weight, and what has its name.
    private mutating func add(below weight: TensorName, _ leaves: Leaves, _ scheme: QuantizationScheme) {
        for tensor in leaves.values { add(tensor, scheme) }
        for tensor in (modules[TensorName(weight.text + ".quant_state")] ?? [:]).values { add(tensor, scheme) }
        let (module, leaf) = ModuleTensors.split(weight)
        add(modules[module]?[leaf], scheme)
    }

    /// GPTQ packs inputs, AWQ outputs: there the codes have fewer columns than the scales.
    private func gptqOrAWQ(_ codes: TensorDescriptor, _ leaves: Leaves) -> QuantizationScheme {
        guard leaves["g_idx"] == nil, let columns = leaves["scales"]?.shape.dims.last else { return .gptq }
        return codes.shape.dims.last == columns ? .gptq : .awq
    }

    // MARK: - What is left

    /// Matrices of codes that no rule explains: of a scheme that only the configuration names, or weights in 8-bit integers of none
    /// that is known.
    mutating func findRest(method: String?) {
        for descriptor in descriptors
        where descriptor.shape.dims.count >= 2 && descriptor.elementCount > 0 && descriptor.dtype.mayHoldCodes
            && schemes[descriptor.name] == nil && !ComputedBuffer.isOne(descriptor)
        {
            if let method {
                add(descriptor, .named(method))
            } else if [.i8, .u8].contains(descriptor.dtype),
                ModuleTensors.split(descriptor.name).leaf.hasSuffix("weight")
            {
                add(descriptor, descriptor.dtype == .i8 ? .int8 : .packed)
            }
        }
    }

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
