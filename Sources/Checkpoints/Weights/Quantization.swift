import SystemPackage
import TensorCore

/// Which tensors of a checkpoint are parts of quantised ones: codes, scales, zero points and the like.
///
/// A part by itself is no weight: averaging scales, or casting codes without them, gives numbers that mean nothing. Parts are
/// recognised by the names and types that the libraries write which quantise, by the configuration beside the checkpoint, and where
/// neither is known by small tensors of floating-point numbers beside codes. 8-bit floats without scales are weights like any other,
/// unless the configuration, or other weights of the checkpoint, say that they are not.
public struct Quantization: Sendable {
    /// That of most of the parts.
    public let scheme: QuantizationScheme
    public let parts: Set<TensorName>
    /// The codes, or the weight, that other parts belong to.
    private let owners: [TensorName: TensorName]

    /// Looks at the names and types of a checkpoint, and at its configuration where they leave something open.
    ///
    /// - Returns: nil for a checkpoint without parts of quantised tensors.
    public init?(of store: TensorStore) {
        // A look at the configuration costs more than one at the types.
        guard Self.mayBeThere(in: store) else { return nil }
        self.init(of: store, config: QuantizationConfig(beside: store.path))
    }

    /// Looks at a checkpoint whose configuration was read.
    init?(of store: TensorStore, config: QuantizationConfig) {
        var search = QuantizedParts(store.descriptors)
        search.findCodesWithScales()
        search.findGroups()
        search.findRest(method: config.method, isBesideWeights: !store.quantizedWeights.isEmpty)
        search.findActivationScales()
        guard let scheme = search.mainScheme(method: config.method) else { return nil }
        self.scheme = scheme
        parts = Set(search.schemes.keys)
        owners = search.owners
    }

    /// Whether there are codes at all: they are of a type that does not compute, in every scheme.
    static func mayBeThere(in store: TensorStore) -> Bool { store.descriptors.contains { $0.dtype.mayHoldCodes } }

    /// Whether a name, without its module, is that of a scale of activations or of a cache, or of a mark that there are such.
    static func isActivationScale(_ leaf: String) -> Bool {
        [
            "input_scale", "output_scale", "scale_input", "input_scale_inv", "input_scale_ub", "input_global_scale",
            "input_zero_point", "k_scale", "v_scale", "q_scale", "kv_scale", "prob_output_scale", "scaled_fp8",
            "activation_scale", "act_scale", "_input_scale", "_output_scale", "k_global_scale", "v_global_scale",
            "q_global_scale", "k_zero_point", "v_zero_point", "q_zero_point", "kv_cache_scaling_factor",
            "activation_scaling_factor", "comfy_quant",
        ].contains(leaf)
    }

    /// The first part that would be left behind by its codes, if only some tensors were taken; nil when there is none.
    public func leftBehind(taking isTaken: (TensorName) -> Bool) -> (codes: TensorName, part: TensorName)? {
        owners.filter { parts.contains($1) && isTaken($1) && !isTaken($0) }.min { $0.key < $1.key }
            .map { (codes: $0.value, part: $0.key) }
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
    var mayHoldCodes: Bool {
        switch self {
        case .f4, .f6E2M3, .f6E3M2, .u8, .i8, .f8E5M2, .f8E4M3, .f8E8M0, .f8E4M3FNUZ, .f8E5M2FNUZ, .i16, .u16, .i32,
            .u32:
            true
        case .bool, .f16, .bf16, .f32, .c64, .f64, .i64, .u64, .c128: false
        }
    }

    var isEightBitFloat: Bool { isFloatingPoint && bitWidth == 8 }
}
