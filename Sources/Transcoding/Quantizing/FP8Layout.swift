import Checkpoints
import TensorCore

/// How matrices of linear layers are stored as 8-bit floats (E4M3) with scales.
public enum FP8Layout: String, Sendable, CaseIterable {
    /// Blocks of 128 x 128 with an F32 each in `weight_scale_inv`, as FineGrainedFP8 of transformers and DeepSeek-V3 have it.
    case blocks = "fp8"
    /// A scale for each row in `weight_scale`, in the type of the weight, as compressed-tensors has it.
    case rows = "fp8-channel"

    static let largest: Float = 448
    static let blockSize = 128

    /// Whether a tensor is stored so: a matrix of a linear layer that is neither head nor router, and that whole blocks fill, as in
    /// transformers.
    func takes(_ tensor: TensorDescriptor) -> Bool {
        let dims = tensor.shape.dims
        guard Self.isLinear(tensor), tensor.elementCount > 0 else { return false }
        return self == .rows || dims.allSatisfy { $0 % Self.blockSize == 0 }
    }

    /// The codes and scales of a weight.
    ///
    /// - Precondition: the layout takes it.
    func parts(of tensor: TensorDescriptor) throws(DescriptorError) -> (
        codes: TensorDescriptor, scales: TensorDescriptor
    ) {
        let dims = tensor.shape.dims
        let (suffix, dtype, grid): (String, DType, [Int]) =
            switch self {
            case .blocks: ("_scale_inv", .f32, dims.map { $0 / Self.blockSize })
            case .rows: ("_scale", tensor.dtype, [dims[0], 1])
            }
        return (
            try TensorDescriptor(name: tensor.name, dtype: .f8E4M3, shape: tensor.shape),
            try TensorDescriptor(name: TensorName(tensor.name.text + suffix), dtype: dtype, shape: Shape(grid))
        )
    }

    /// Whether a tensor looks like the weight of a linear layer inside of a model: what it is multiplied with is known by names only.
    private static func isLinear(_ tensor: TensorDescriptor) -> Bool {
        guard tensor.shape.rank == 2, [.bf16, .f16, .f32].contains(tensor.dtype) else { return false }
        let parts = tensor.name.text.lowercased().split(separator: ".")
        guard parts.last == "weight", let module = parts.dropLast().last else { return false }
        let others: Set<Substring> = [
            "lm_head", "head", "embed_out", "wte", "wpe", "shared", "score", "classifier", "gate", "router", "output",
        ]
        return !others.contains(module) && !["embed", "norm", "router"].contains { module.contains($0) }
    }

    /// What `config.json` has to say of a model whose other linear layers are stored so.
    ///
    /// - Parameter kept: modules that keep their type.
    public func configuration(keeping kept: [String]) -> String {
        let names = "[" + kept.map(JSONEditor.quoted).joined(separator: ", ") + "]"
        return switch self {
        case .blocks:
            #"{"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "#
                + #""weight_block_size": [\#(Self.blockSize), \#(Self.blockSize)], "modules_to_not_convert": \#(names)}"#
        case .rows:
            #"{"quant_method": "compressed-tensors", "format": "float-quantized", "quantization_status": "compressed", "#
                + #""config_groups": {"group_0": {"targets": ["Linear"], "#
                + #""weights": {"num_bits": 8, "type": "float", "symmetric": true, "strategy": "channel", "dynamic": false}, "#
                + #""input_activations": {"num_bits": 8, "type": "float", "symmetric": true, "strategy": "token", "#
                + #""dynamic": true}}}, "ignore": \#(names)}"#
        }
    }
}
