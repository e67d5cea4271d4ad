import Checkpoints
import Experts
import Networks
import SystemPackage
import TensorCore
import TestSupport
import Testing

extension TemporaryFolder {
    /// The base of a network of the fixtures beside a changed configuration.
    func network(
        _ name: String, _ old: String = "", _ new: String = "", in file: String = "config.json"
    ) throws -> TensorStore {
        let source = Fixtures.path("networks/\(name)")
        if !fileExists(self.file("1_Pooling")) { try makeFolder("1_Pooling") }
        for companion in ["config.json", "open_clip_config.json", "preprocessor_config.json", "1_Pooling/config.json"]
        where fileExists(source.pushing(FilePath(companion))) {
            var text = String(decoding: try contents(source.pushing(FilePath(companion))), as: UTF8.self)
            if companion == file, !old.isEmpty {
                try #require(text.contains(old), "\(companion) of \(name) has no \(old)")
                text = text.replacing(old, with: new)
            }
            try write(text, to: companion)
        }
        return try TensorStore(
            opening: try write(try contents(source.appending("base.safetensors")), to: "base.safetensors"))
    }
}

/// The configuration of a transformer.
func config(_ backbone: Backbone) throws -> TransformerConfig {
    try #require(backbone.network as? Transformer).config
}
