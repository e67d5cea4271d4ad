import Checkpoints
import Networks

/// What the name of a timm model says and its configuration mostly leaves out: timm keeps it in its code.
///
/// - Source: timm 1.0.31, `vision_transformer.py` and `deit.py`, all models that are computed.
struct TimmVariant {
    private let name: String

    /// Nil for a configuration that names no model of timm's.
    ///
    /// - Throws: `input.bad_config` for a model that is none of timm's plain vision transformers, although its tensors may have their names.
    init?(_ keys: ConfigKeys) throws(InputError) {
        guard let name = try keys.text("architecture") else { return nil }
        let isPlain =
            Self.families.contains(where: name.hasPrefix) && !Self.otherNetworks.contains(where: name.contains)
        guard isPlain else {
            throw InputError(
                .badConfig,
                "the architecture \"\(name)\" of \(keys.file.string) is none of timm's plain vision transformers, which are computed",
                file: keys.file, hint: Architecture.anyModelHint)
        }
        self.name = name
    }

    private static let families = ["vit_", "deit", "flexivit_", "test_vit"]

    /// Rotated or relative positions and other blocks, of which tensors tell nothing.
    private static let otherNetworks = [
        "_rope_", "_pe_", "_rpn_", "_dinov3", "_lingbot", "_sapiens2", "relpos_",
    ]

    /// Heads of width 64, but for the largest models and those of timm's own tests.
    func headCount(width: Int) -> Int? {
        let haveSixteen = [
            "_huge_", "_giant_patch14_224", "_giant_patch14_clip", "_giantopt_", "_gigantic_", "_so400m_",
            "vit_base_patch16_gap",
        ]
        if haveSixteen.contains(where: name.contains) { return 16 }
        let headWidth = name.hasPrefix("test_vit") ? 32 : 64
        return width > 0 && width.isMultiple(of: headWidth) ? width / headWidth : nil
    }

    var layerNormEps: Double { name.contains("_clip_") ? 1e-5 : 1e-6 }

    var activation: Activation {
        if name.contains("_clip_quickgelu_") { return .quickGELU }
        let haveTanh = [
            "_base_patch32_siglip_", "_large_patch16_siglip_512", "_large_patch16_siglip_gap_512",
            "_so400m_patch16_siglip_",
            "_giantopt_patch16_siglip_",
        ]
        return haveTanh.contains(where: name.contains) ? .geluTanh : .gelu
    }
}
