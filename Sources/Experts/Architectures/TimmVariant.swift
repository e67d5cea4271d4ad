import Networks

/// What the name of a timm model says and its configuration mostly leaves out: timm keeps it in its code.
///
/// - Source: timm 1.0.31, `vision_transformer.py` and `deit.py`, all models that are computed.
struct TimmVariant {
    private let name: String

    /// Nil for a configuration that names no model of timm's.
    init?(_ name: String?) {
        guard let name, name.hasPrefix("vit_") || name.hasPrefix("deit") else { return nil }
        self.name = name
    }

    /// Heads of width 64, but for the largest models.
    func headCount(width: Int) -> Int? {
        let haveSixteen = ["_huge_", "_giant", "_gigantic_", "_so400m_", "vit_base_patch16_gap"]
        if haveSixteen.contains(where: name.contains) { return 16 }
        if name.hasPrefix("vit_small_resnet") { return 8 }
        return width > 0 && width.isMultiple(of: 64) ? width / 64 : nil
    }

    var layerNormEps: Double { name.contains("_clip_") ? 1e-5 : 1e-6 }

    var activation: Activation {
        if name.contains("_clip_quickgelu_") { return .quickGELU }
        return name.contains("_siglip_") && !name.contains("patch14") ? .geluTanh : .gelu
    }
}
