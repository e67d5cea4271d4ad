import Checkpoints
import SystemPackage
import TensorCore

/// The names that timm gives the tensors of a vision transformer, which backbones of this version must have.
enum TimmNames {
    /// Tensors that every such model has.
    private static let needed = [
        "cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.weight", "blocks.0.attn.qkv.weight",
    ]

    /// Parts of timm's vision transformers that are not computed, by a piece of their tensors' names.
    private static let unsupportedParts = [
        ("reg_token", "register tokens"), ("dist_token", "a distillation token"), ("attn_pool.", "attention pooling"),
        (".ls1.", "layer scale"), (".gamma_1", "layer scale"), (".attn.q_norm.", "normed queries"),
        (".attn.norm.", "normed attention"), (".attn.rel", "relative positions"),
        (".attn.q_bias", "biases of its own for q and v"),
    ]

    /// What can be done with models whose names or parts are others.
    static let anyNamesHint = "merge, vectors, diff and convert take models of any kind"

    /// What makes a model one that this version would not compute as it is; nil when nothing does.
    static func unsupportedPart(of names: [TensorName]) -> (tensor: TensorName, part: String)? {
        for (mark, part) in unsupportedParts {
            let tensor = names.first {
                mark.hasPrefix(".")
                    ? $0.text.hasPrefix("blocks.") && $0.text.contains(mark) : $0.text.hasPrefix(mark)
            }
            if let tensor { return (tensor, part) }
        }
        return nil
    }

    /// What stands before timm's names, such as `module.`; nil when taking nothing away would leave a whole backbone.
    static func prefix(in names: [TensorName]) -> String? {
        let mark = "." + needed[4]
        guard let name = names.first(where: { $0.text.hasSuffix(mark) })?.text else { return nil }
        let prefix = String(name.dropLast(needed[4].count))
        let stripped = names.compactMap { name in
            name.text.hasPrefix(prefix) ? TensorName(String(name.text.dropFirst(prefix.count))) : nil
        }
        guard Set(needed.map { TensorName($0) }).isSubset(of: stripped), unsupportedPart(of: stripped) == nil else {
            return nil
        }
        return prefix
    }
}

extension TensorStore {
    /// Makes sure that a checkpoint has timm's names, in which a backbone is read.
    ///
    /// - Parameter config: the configuration file; nil takes the one beside the checkpoint.
    /// - Throws: `input.missing_tensor` that says what the checkpoint is instead, and what can be done.
    func requireTimmNames(config: FilePath? = nil) throws(InputError) {
        guard index(of: "cls_token") == nil, index(of: "pos_embed") == nil else { return }
        let message: String
        var hint = TimmNames.anyNamesHint
        let only = "this version computes only vision transformers with timm's names"
        switch InputKind(of: self) {
        case .images, .head:
            message = "\(path.string) holds \(InputKind(of: self).text), and a model is needed"
            hint = InputKind.swapHint
        case .prefixed(let prefix):
            message = "the tensors of \(path.string) have timm's names behind \"\(prefix)\""
            hint = Self.renaming(path, prefix, isPart: !descriptors.allSatisfy { $0.name.text.hasPrefix(prefix) })
        case .model(let family, let evidence):
            let type = Self.modelType(config ?? BackboneConfig.defaultPath(for: path)).map { ", model_type \"\($0)\"" }
            message =
                "\(path.string) has the tensor names of \(family.name) (\"\(evidence)\"\(type ?? "")), and \(only)"
            if family.isAdapter { hint = "put it into its base with merge_and_unload() of PEFT, and give the result" }
            if let obstacle = family.obstacle { hint += "; convert --rename does not help here: \(obstacle)" }
        case .backbone, .unknown:
            let type = Self.modelType(config ?? BackboneConfig.defaultPath(for: path)).map {
                "; its configuration says \"\($0)\""
            }
            message =
                "\(path.string) has no tensor \"cls_token\"\(type ?? ""), and \(only), such as "
                + "\"blocks.0.attn.qkv.weight\""
        }
        throw InputError(
            .missingTensor, message.escapingControlCharacters, file: path, tensor: "cls_token",
            hint: hint.escapingControlCharacters)
    }

    /// The command that takes a prefix away.
    private static func renaming(_ path: FilePath, _ prefix: String, isPart: Bool) -> String {
        let pattern = prefix.split(separator: ".", omittingEmptySubsequences: false).joined(separator: #"\."#)
        let only = isPart ? "--only '\(prefix)*' " : ""
        return
            "get timm's own with `untangle convert \(path.string) renamed.safetensors \(only)--rename '^\(pattern)=>'`"
    }

    /// What a configuration calls the model, if there is one that can be read.
    private static func modelType(_ config: FilePath) -> String? {
        guard let document = JSONDocument.read(config) else { return nil }
        return document["model_type"]?.string ?? document["architectures"]?.array?.compactMap(\.string).first
            ?? document["architecture"]?.string
    }
}
