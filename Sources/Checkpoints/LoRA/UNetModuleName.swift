/// The name of a module of a UNet as the single files of Stable Diffusion have it, in that of diffusers' folders.
///
///     input_blocks.N.0, .1, N.0.op        down_blocks.B.resnets.L, .attentions.L, .downsamplers.0.conv       N = 3 B + L + 1
///     middle_block.0, .1, .2              mid_block.resnets.0, .attentions.0, .resnets.1
///     output_blocks.N.0, .1, the last     up_blocks.B.resnets.L, .attentions.L, .upsamplers.0                N = 3 B + L
///
/// UNets of Stable Diffusion up to XL have two layers in a block. kohya's trainer names adapters of XL in this way, with underscores for dots.
///
/// - Source: Stability-AI/generative-models, `openaimodel.py`, and diffusers' `UNet2DConditionModel`.
enum UNetModuleName {
    /// Translates a name.
    ///
    /// - Parameters:
    ///   - name: in the UNet.
    ///   - separator: the dot, or what stands for it.
    /// - Returns: nil for the name of a module that the single files do not have.
    static func ofDiffusers(_ name: String, separator: Character = ".") -> String? {
        func spelled(_ name: String) -> String { String(name.map { $0 == "." ? separator : $0 }) }
        if let single = singles.first(where: { spelled($0.key) == name }) { return spelled(single.value) }
        func parts(behind start: String, count: Int) -> [Substring]? {
            guard name.hasPrefix(start + String(separator)) else { return nil }
            let parts = name.dropFirst(start.count + 1).split(
                separator: separator, maxSplits: count - 1, omittingEmptySubsequences: false)
            return parts.count == count ? parts : nil
        }
        func joined(_ block: String, _ layer: String, _ rest: Substring) -> String {
            let rest = residual.first { spelled($0.key) == rest }.map { spelled($0.value) } ?? String(rest)
            return "\(spelled("\(block).\(layer)"))\(separator)\(rest)"
        }
        if let parts = parts(behind: "input_blocks", count: 3), let number = Int(parts[0]), number > 0 {
            let (block, layer) = (number - 1).quotientAndRemainder(dividingBy: 3)
            if parts[2] == "op" { return joined("down_blocks.\(block)", "downsamplers.0", "conv") }
            return kinds[parts[1]].map { joined("down_blocks.\(block)", "\($0).\(layer)", parts[2]) }
        }
        if let parts = parts(behind: "middle_block", count: 2) {
            return middle[parts[0]].map { joined("mid_block", $0, parts[1]) }
        }
        if let parts = parts(behind: "output_blocks", count: 3), let number = Int(parts[0]), number >= 0 {
            let (block, layer) = number.quotientAndRemainder(dividingBy: 3)
            if parts[2] == "conv" { return joined("up_blocks.\(block)", "upsamplers.0", "conv") }
            return kinds[parts[1]].map { joined("up_blocks.\(block)", "\($0).\(layer)", parts[2]) }
        }
        return nil
    }

    /// Whether a module lies in one of the blocks that diffusers has not.
    static func isOfSingleFile(_ name: String) -> Bool {
        ["input_blocks.", "middle_block.", "output_blocks."].contains(where: name.hasPrefix)
    }

    private static let kinds: [Substring: String] = ["0": "resnets", "1": "attentions"]
    private static let middle: [Substring: String] = ["0": "resnets.0", "1": "attentions.0", "2": "resnets.1"]

    /// Modules outside of blocks.
    private static let singles = [
        "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out",
        "time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
        "label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2",
    ]

    /// The modules of a residual layer.
    private static let residual = [
        "in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
        "out_layers.3": "conv2", "skip_connection": "conv_shortcut",
    ]
}
