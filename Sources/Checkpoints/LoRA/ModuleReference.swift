/// A module of an image model, by the component that it belongs to.
struct ModuleReference: Hashable {
    /// Such as `unet`, or `lora_te1` of kohya.
    let component: String
    /// In the component; with underscores for dots where that is all that is known.
    let name: String

    /// Those of diffusers' pipelines.
    static let components: Set<String> = [
        "unet", "transformer", "transformer_2", "text_encoder", "text_encoder_2", "text_encoder_3", "prior",
    ]
    /// What kohya calls them. Longer names come first; a second encoder makes the first one `te1`.
    private static let prefixes = [
        ("lora_te1", "text_encoder"), ("lora_te2", "text_encoder_2"), ("lora_te3", "text_encoder_3"),
        ("lora_te", "text_encoder"), ("lora_unet", "unet"),
    ]

    /// Where text encoders lie in single files and in folders, by what they are in a pipeline.
    private static let encoderPlaces = [
        "text_encoder": ["embedders.0.", "clip_l.", "text_encoder.", "te1."],
        "text_encoder_2": ["embedders.1.", "clip_g.", "text_encoder_2.", "te2."],
        "text_encoder_3": ["t5xxl.", "text_encoder_3.", "te3."],
    ]

    /// Whether a component may lie behind a prefix: an encoder does not where another one is known to.
    static func mayLie(_ component: String, behind prefix: String) -> Bool {
        let own = ModuleReference(kohya: component, name: "").component
        return !encoderPlaces.contains { encoder, places in encoder != own && places.contains(where: prefix.contains) }
    }

    init(component: String, name: String) {
        self.component = component
        self.name = name
    }

    /// A module of a component by kohya's name of that.
    init(kohya prefix: String, name: String) {
        self.init(component: Self.prefixes.first { $0.0 == prefix }?.1 ?? prefix, name: name)
    }

    /// Takes a module's name apart, the component as it is written; nil for one that has none.
    init?(_ module: String, _ naming: AdapterNaming) {
        switch naming {
        case .peft: return nil
        case .kohya:
            guard let (prefix, _) = Self.prefixes.first(where: { module.hasPrefix($0.0 + "_") }) else { return nil }
            (component, name) = (prefix, String(module.dropFirst(prefix.count + 1)))
        case .diffusers:
            let parts = module.split(separator: ".", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { return nil }
            (component, name) = (parts[0], parts[1])
        }
        if name.isEmpty { return nil }
    }

    /// The name of a module of a diffusers pipeline as another program has it.
    ///
    /// - Parameter components: all that the adapter has modules of.
    func spelled(_ naming: AdapterNaming, among components: Set<String>) -> String {
        switch naming {
        case .peft: return name
        case .diffusers: return "\(component).\(name)"
        case .kohya:
            let isOnly = !components.contains("text_encoder_2")
            let known = Self.prefixes.first { $0.1 == component && !($0.0 == "lora_te1" && isOnly) }
            let prefix = known?.0 ?? "lora_unet"
            return "\(prefix)_\(name.map { $0 == "." ? "_" : String($0) }.joined())"
        }
    }
}
