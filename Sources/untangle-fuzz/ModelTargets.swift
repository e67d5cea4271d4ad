import Checkpoints
import Experts
import Images
import ModelFolders
import SystemPackage
import TensorCore

extension FuzzTarget {
    /// The JSON files beside a model: one text as each of them. Its length chooses the model.
    static let config = {
        let file = MemoryFile()
        let models = [
            "hf-vit", "hf-clip-full", "hf-dinov2", "hf-siglip-full", "timm-vit-avg", "openclip-full", "bert-mean",
            "xlm-roberta-cls", "distilbert-mean",
        ]
        let stores = models.map { model in
            let folder = file.folder(
                showing: [
                    "config.json", "preprocessor_config.json", "adapter_config.json", "1_Pooling/config.json",
                ],
                beside: ["model.safetensors": "Fixtures/networks/\(model)/base.safetensors"])
            guard let store = try? TensorStore(opening: folder.appending("model.safetensors")) else {
                // Of the fixtures: the fuzzer was started in another folder.
                fatalError("\(model) cannot be opened")
            }
            return store
        }
        return FuzzTarget("config") { bytes in
            let store = stores[bytes.count % stores.count]
            _ = file.replace(with: bytes)
            _ = ModelDescription(of: store) { precondition(!$0.text.isEmpty) }?.phrase
            let backbone = try Backbone(of: store)
            _ = try backbone.picturePreparation()
        }
    }()

    /// A picture of at most a million pixels, a PNG also with its checksums made right.
    static let picture = FuzzTarget("picture") { bytes in
        _ = try? decode(PNGSealing.sealed(bytes))
        try decode(bytes)
    }

    private static func decode(_ bytes: [UInt8]) throws {
        let picture = try bytes.withUnsafeBytes { try Picture(decoding: $0, maxPixelCount: 1 << 18) }
        precondition(picture.pixels.count == 3 * picture.width * picture.height)
    }
}
