import TensorCore

/// What a tensor of an adapter of an image model is, by its name.
///
///     lora_unet_MODULE .lora_down.weight, .lora_up.weight, .alpha                kohya's sd-scripts; also lora_te_, lora_te1_, lora_te2_
///     COMPONENT.MODULE .lora_A.weight, .lora_B.weight, .alpha                    diffusers; COMPONENT unet, transformer, text_encoder, ...
///     COMPONENT.MODULE .lora.down.weight, .lora_linear_layer.down.weight         as it was before
///     [unet.]MODULE.processor.to_q_lora.down.weight                              of attention's processors; to_out is to_out.0
///     text_encoder.MODULE.to_q_lora.down.weight                                  of q_proj, and to_out of out_proj
///
/// - Source: names of kohya-ss/sd-scripts and of diffusers up to 0.35.
struct ImageAdapterKey: Hashable {
    let part: AdapterKey.Part
    /// The module as files are written today: with its component.
    let module: String
    /// Whether nobody else has such names.
    let isSure: Bool

    private init(_ part: AdapterKey.Part, _ module: String, isSure: Bool) {
        self.part = part
        self.module = module
        self.isSure = isSure
    }

    /// Reads a name.
    ///
    /// - Returns: nil for the name of nothing that such adapters have.
    init?(_ tensor: TensorName, _ naming: AdapterNaming) {
        let path = tensor.text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        switch naming {
        case .peft: return nil
        case .kohya: self.init(kohya: path)
        case .diffusers: self.init(diffusers: path)
        }
    }

    private init?(kohya path: [String]) {
        guard let module = path.first, ModuleReference(module, .kohya) != nil else { return nil }
        switch Array(path.dropFirst()) {
        case ["lora_down", "weight"]: self.init(.a, module, isSure: true)
        case ["lora_up", "weight"]: self.init(.b, module, isSure: true)
        case ["alpha"]: self.init(.alpha, module, isSure: true)
        default: return nil
        }
    }

    private init?(diffusers path: [String]) {
        let isKnown = ModuleReference.components.contains(path[0])
        guard path.count >= 3, !path.contains("") else { return nil }
        if path.last == "alpha" {
            self.init(.alpha, path.dropLast().joined(separator: "."), isSure: false)
            return
        }
        let leaf = path[path.count - 1]
        var (kind, owner) = (path[path.count - 2], Array(path.dropLast(2)))
        let part: AdapterKey.Part
        switch (kind, leaf) {
        case ("lora_A", "weight"), ("down", "weight"): part = .a
        case ("lora_B", "weight"), ("up", "weight"): part = .b
        case ("lora_B", "bias"): part = .bias
        default: return nil
        }
        if kind.hasPrefix("lora_") {
            self.init(part, owner.joined(separator: "."), isSure: isKnown)
            return
        }
        kind = owner.removeLast()
        switch kind {
        case "lora", "lora_linear_layer": break
        case _ where kind.hasSuffix("_lora"):
            let name = String(kind.dropLast("_lora".count))
            if owner.last == "processor" {
                owner.removeLast()
                owner += name == "to_out" ? ["to_out", "0"] : [name]
            } else {
                guard let projection = Self.projections[name] else { return nil }
                owner.append(projection)
            }
        default: return nil
        }
        guard !owner.isEmpty else { return nil }
        self.init(part, ((isKnown ? [] : ["unet"]) + owner).joined(separator: "."), isSure: true)
    }

    private static let projections = ["to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"]
}
