import Checkpoints
import Networks
import SystemPackage
import TensorCore

/// What a backbone's `config.json` and the shapes of its tensors say together: the architecture and how images are normalised.
///
/// Keys of Hugging Face and timm are read; what the file leaves out is taken from the tensors' shapes where they tell. Tensors
/// must have timm's names.
public struct BackboneConfig: Sendable {
    /// The configuration file.
    public let path: FilePath
    public let architecture: TransformerConfig
    public let normalization: ImageNormalization

    /// Reads the configuration of a checkpoint.
    ///
    /// - Parameter path: the configuration file; nil takes `config.json` beside the checkpoint or in its folder.
    /// - Throws: `input.missing_config`, `input.bad_config`, `FormatError` for JSON that is none.
    public init(of checkpoint: TensorStore, path: FilePath? = nil) throws {
        let path = path ?? Self.defaultPath(for: checkpoint.path)
        self.path = path
        guard fileExists(path) else {
            throw InputError(
                .missingConfig, "there is no \(path.string) to say what architecture \(checkpoint.path.string) has",
                file: path, hint: "put the model's config.json beside it, or give --config FILE")
        }
        let text = try MappedFile(path).withUnsafeBytes { Array($0) }
        let config = try JSONDocument.parse(text, file: path)
        guard config.object != nil else {
            throw InputError(.badConfig, "\(path.string) holds no object", file: path)
        }
        architecture = try Self.architecture(from: ConfigKeys(config, file: path), shapes: TimmShapes(checkpoint))
        guard case .patches(let stem) = architecture.stem else { preconditionFailure("keys of images") }
        normalization = try ImageNormalization(config: config, channels: stem.image.channels, file: path)
    }

    /// Where the configuration of a checkpoint lies when nobody says otherwise.
    package static func defaultPath(for checkpoint: FilePath) -> FilePath {
        let folder = folderExists(checkpoint) ? checkpoint : checkpoint.removingLastComponent()
        return folder.appending("config.json")
    }

    private static func architecture(
        from keys: ConfigKeys, shapes: TimmShapes
    ) throws -> TransformerConfig {
        if let type = try keys.text("model_type"), !["vit", "clip_vision_model", "deit"].contains(type) {
            throw InputError(
                .badConfig, "model_type \"\(type)\" is not supported by this version, only vision transformers are",
                file: keys.file, hint: TimmNames.anyNamesHint)
        }
        let width = try keys.integer("hidden_size", "num_features", "embed_dim", else: shapes.width)
        let patch = try keys.integer("patch_size", else: shapes.patchSize)
        let size = try keys.imageSize() ?? shapes.imageSize(patch: patch).map { ($0, $0) }
        guard let (height, imageWidth) = size else { throw keys.missing("image_size") }
        var mlp = try keys.integerIfAny("intermediate_size") ?? shapes.mlpSize
        if mlp == nil, let ratio = try keys.numberIfAny("mlp_ratio") {
            mlp = Int(exactly: (Double(width) * ratio).rounded())
        }
        guard let mlp else { throw keys.missing("intermediate_size") }
        let layers = try keys.integer("num_hidden_layers", "depth", else: shapes.layerCount)
        if shapes.layerCount ?? 0 != layers {
            throw InputError(
                .badConfig,
                "\(keys.file.string) says \(layers) layers, but the checkpoint has \(shapes.layerCount ?? 0) of timm's names",
                file: keys.file,
                hint: "check that config.json belongs to this checkpoint")
        }
        let image = ImageShape(
            channels: try keys.integer("num_channels", "in_chans", else: shapes.channels), height: height,
            width: imageWidth)
        return TransformerConfig(
            stem: .patches(
                PatchStem(image: image, patchSize: patch, hasBias: shapes.has("patch_embed.proj.bias"))),
            hiddenSize: width, layerCount: layers,
            headCount: try keys.integer("num_attention_heads", "num_heads", else: nil), mlpSize: mlp,
            layerNormEps: Float(try keys.numberIfAny("layer_norm_eps") ?? 1e-6), activation: try keys.activation(),
            qkvBias: try keys.flag("qkv_bias") ?? shapes.has("blocks.0.attn.qkv.bias"),
            preNorm: shapes.has("norm_pre.weight"), pooling: try keys.pooling(),
            finalNorm: shapes.has("fc_norm.weight") ? .afterPooling : .beforePooling,
            projectionSize: try keys.integerIfAny("projection_dim"))
    }
}

/// The keys of a configuration file, by their Hugging Face or timm names.
private struct ConfigKeys {
    let config: JSONValue
    let file: FilePath

    init(_ config: JSONValue, file: FilePath) {
        self.config = config
        self.file = file
    }

    /// The value of a key at the top, or among timm's `model_args`.
    private func value(_ key: String) -> JSONValue? {
        let value = config[key] ?? config["model_args"]?[key]
        return value.flatMap { $0.isNull ? nil : $0 }
    }

    func missing(_ key: String) -> InputError {
        InputError(.badConfig, "\(file.string) has no \"\(key)\"", file: file)
    }

    private func bad(_ key: String, _ expectation: String) -> InputError {
        InputError(.badConfig, "\"\(key)\" must be \(expectation)", file: file)
    }

    func text(_ key: String) throws(InputError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw bad(key, "a text") }
        return text
    }

    func flag(_ key: String) throws(InputError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let flag = value.bool else { throw bad(key, "true or false") }
        return flag
    }

    func integerIfAny(_ key: String) throws(InputError) -> Int? {
        guard let value = value(key) else { return nil }
        guard let integer = value.int else { throw bad(key, "a whole number") }
        return integer
    }

    func numberIfAny(_ key: String) throws(InputError) -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.double, number.isFinite, abs(number) < 1e9 else { throw bad(key, "a number") }
        return number
    }

    /// The first of several keys that is there, or what the tensors say.
    func integer(_ keys: String..., else inferred: Int?) throws(InputError) -> Int {
        for key in keys { if let integer = try integerIfAny(key) { return integer } }
        guard let inferred else { throw missing(keys[0]) }
        return inferred
    }

    /// Height and width: one number, a pair, or timm's `input_size` `[C, H, W]`.
    func imageSize() throws(InputError) -> (Int, Int)? {
        if let value = value("image_size") ?? value("img_size") {
            if let side = value.int { return (side, side) }
            let sides = value.array.map { $0.map(\.int) } ?? []
            guard sides.count == 2, let height = sides[0], let width = sides[1] else {
                throw bad("image_size", "a whole number or a pair")
            }
            return (height, width)
        }
        guard let size = config["pretrained_cfg"]?["input_size"]?.array.map({ $0.map(\.int) }), size.count == 3,
            let height = size[1], let width = size[2]
        else { return nil }
        return (height, width)
    }

    func activation() throws(InputError) -> Activation {
        let (huggingFace, timm) = (try text("hidden_act"), try text("act_layer"))
        switch huggingFace ?? timm ?? "gelu" {
        case "gelu": return .gelu
        case "gelu_pytorch_tanh", "gelu_new", "gelu_tanh": return .geluTanh
        case "quick_gelu": return .quickGELU
        case "relu": return .relu
        case let other:
            throw InputError(
                .badConfig,
                "hidden_act \"\(other)\" is not supported; gelu, gelu_pytorch_tanh, quick_gelu and relu are",
                file: file)
        }
    }

    func pooling() throws(InputError) -> Pooling {
        let (own, timm) = (try text("pooling"), try text("global_pool"))
        switch own ?? timm ?? "cls" {
        case "cls", "token": return .cls
        case "mean", "avg": return .mean
        case let other:
            throw InputError(.badConfig, "pooling \"\(other)\" is not supported; cls and mean are", file: file)
        }
    }
}

/// What the shapes of timm's tensors tell about an architecture.
private struct TimmShapes {
    private let store: TensorStore

    init(_ store: TensorStore) { self.store = store }

    func has(_ name: TensorName) -> Bool { store.index(of: name) != nil }

    private func dim(_ name: TensorName, _ axis: Int, rank: Int) -> Int? {
        guard let shape = store.descriptor(named: name)?.shape, shape.rank == rank else { return nil }
        return shape.dims[axis]
    }

    var width: Int? { dim("pos_embed", 2, rank: 3) }
    var channels: Int? { dim("patch_embed.proj.weight", 1, rank: 4) }
    var patchSize: Int? { dim("patch_embed.proj.weight", 2, rank: 4) }
    var mlpSize: Int? { dim("blocks.0.mlp.fc1.weight", 0, rank: 2) }

    var layerCount: Int? {
        let count = (0...).prefix { has(TensorName("blocks.\($0).norm1.weight")) }.count
        return count == 0 ? nil : count
    }

    /// The side of a square image, from the number of position embeddings.
    func imageSize(patch: Int) -> Int? {
        guard let tokens = dim("pos_embed", 1, rank: 3), patch > 0, patch <= 1 << 20, tokens <= 1 << 40 else {
            return nil
        }
        let side = Int(Double(tokens - 1).squareRoot())
        return side * side == tokens - 1 ? side * patch : nil
    }
}
