import Checkpoints
import Experts
import Images
import TensorCore
import TestSupport
import Testing

/// How a model prepares pictures, read from the files beside it. The expected values are the arguments of the libraries' own transforms,
/// against which `PicturePreparationTests` compares bytes.
@Suite struct PicturePreparationConfigurationTests {
    private typealias Crop = PicturePreparation.Crop
    private let folder = TemporaryFolder()

    /// What a perceptron over images of a size reads.
    private func preparation(
        _ height: Int, _ width: Int, channels: Int = 3, processor: String? = nil, _ more: String = ""
    ) throws -> PicturePreparation {
        let count = channels * height * width
        let store = try TensorStore(
            opening: folder.checkpoint(
                "mlp.safetensors",
                [
                    TestTensor("0.weight", [1, count], [Float](repeating: 0, count: count)),
                    TestTensor("0.bias", [1], [0]), TestTensor("2.weight", [1, 1], [0]), TestTensor("2.bias", [1], [0]),
                ]))
        try folder.write(
            #"{"model_type": "mlp", "num_channels": \#(channels), "image_size": [\#(height), \#(width)]\#(more)}"#,
            to: "config.json")
        if let processor { try folder.write(processor, to: "preprocessor_config.json") }
        return try Backbone(of: store).picturePreparation()
    }

    private func error(
        _ height: Int = 14, _ width: Int = 14, channels: Int = 3, processor: String? = nil, _ more: String = ""
    ) throws -> InputError {
        let error = try #require(throws: InputError.self) {
            _ = try preparation(height, width, channels: channels, processor: processor, more)
        }
        #expect(error.code == "input.bad_config")
        let name = processor == nil ? "config.json" : "preprocessor_config.json"
        #expect(error.file == folder.file(name).string)
        return error
    }

    /// The constants of the classes in transformers 5.24.
    @Test func classesOfTransformersHaveDefaults() throws {
        let square = Crop(height: 224, width: 224, rounding: .down)
        let expected: [(String, PicturePreparation)] = [
            ("CLIPImageProcessor", .init(resize: .shortestEdge(224), crop: square)),
            ("BitImageProcessorFast", .init(resize: .shortestEdge(224), crop: square)),
            ("DeiTImageProcessor", .init(resize: .exact(height: 256, width: 256), crop: square)),
            ("ViTImageProcessor", .init(resize: .exact(height: 224, width: 224), interpolation: .bilinear)),
            ("SiglipImageProcessor", .init(resize: .exact(height: 224, width: 224))),
        ]
        for (name, preparation) in expected {
            let found = try self.preparation(224, 224, processor: #"{"image_processor_type": "\#(name)"}"#)
            #expect(found == preparation, "\(name)")
        }
        let old = try preparation(224, 224, processor: #"{"feature_extractor_type": "CLIPFeatureExtractor"}"#)
        #expect(old == expected[0].1)
    }

    @Test func keysOfTransformers() throws {
        // As google/vit-base-patch16-224, facebook/dinov2-base and an old openai/clip have them, at other sizes.
        let vit = #"{"do_resize": true, "size": 14, "resample": 3, "feature_extractor_type": "ViTFeatureExtractor"}"#
        #expect(try preparation(14, 14, processor: vit) == .init(resize: .exact(height: 14, width: 14)))
        let dino =
            #"{"crop_size": {"height": 14, "width": 12}, "do_center_crop": true, "do_resize": true, "resample": 1, "#
            + #""image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 16}}"#
        let crop = Crop(height: 14, width: 12, rounding: .down)
        #expect(
            try preparation(14, 12, processor: dino)
                == .init(resize: .shortestEdge(16), interpolation: .lanczos, crop: crop))
        let clip =
            #"{"crop_size": 14, "do_center_crop": true, "resample": 0, "size": 16, "#
            + #""feature_extractor_type": "CLIPFeatureExtractor"}"#
        #expect(
            try preparation(14, 14, processor: clip)
                == .init(
                    resize: .shortestEdge(16), interpolation: .nearest,
                    crop: Crop(height: 14, width: 14, rounding: .down)))
        let pair = #"{"size": [14, 12], "resample": null}"#
        #expect(
            try preparation(14, 12, processor: pair)
                == .init(resize: .exact(height: 14, width: 12), interpolation: .bilinear))
    }

    @Test func whatIsNotResized() throws {
        let crop = #"{"do_resize": false, "do_center_crop": true, "crop_size": 14}"#
        #expect(
            try preparation(14, 14, processor: crop)
                == .init(
                    resize: .none, interpolation: .bilinear, crop: Crop(height: 14, width: 14, rounding: .down)))
        // Without a crop pictures have the size already; others are brought to it.
        let nothing = #"{"do_resize": false, "image_processor_type": "ViTImageProcessor"}"#
        #expect(
            try preparation(14, 12, processor: nothing)
                == .init(resize: .exact(height: 14, width: 12), interpolation: .bilinear))
    }

    @Test func sectionsOfTimm() throws {
        func timm(_ keys: String, _ height: Int = 224, _ width: Int = 224) throws -> PicturePreparation {
            try preparation(
                height, width, #", "pretrained_cfg": {"input_size": [3, \#(height), \#(width)]\#(keys)}"#)
        }
        let square = Crop(height: 224, width: 224)
        // floor(224 / 0.9) and the default, floor(224 / 0.875).
        #expect(
            try timm(#", "crop_pct": 0.9, "interpolation": "bilinear""#)
                == .init(resize: .shortestEdge(248), interpolation: .bilinear, crop: square))
        #expect(try timm("") == .init(resize: .shortestEdge(256), crop: square))
        #expect(try timm(#", "crop_pct": null, "crop_mode": null"#) == .init(resize: .shortestEdge(256), crop: square))
        #expect(
            try timm(#", "crop_pct": 1, "crop_mode": "squash""#)
                == .init(resize: .exact(height: 224, width: 224), crop: square))
        #expect(
            try timm(#", "crop_pct": 1.0"#, 14, 21)
                == .init(resize: .covering(height: 14, width: 21), crop: Crop(height: 14, width: 21)))
        // 255 times 0.5, which Python rounds to the even 128, and of ImageNet's mean.
        #expect(
            try timm(#", "crop_pct": 1.0, "crop_mode": "border", "mean": [0.5, 0.5, 0.1]"#, 14, 14)
                == .init(
                    resize: .within(height: 14, width: 14), crop: Crop(height: 14, width: 14, fill: [128, 128, 26])))
        #expect(
            try timm(#", "crop_pct": 1.0, "crop_mode": "border""#, 14, 14)
                == .init(
                    resize: .within(height: 14, width: 14), crop: Crop(height: 14, width: 14, fill: [124, 116, 104])))
        // The keys of old configurations, which have no section.
        #expect(
            try preparation(14, 14, #", "input_size": [3, 14, 14], "crop_pct": 1.0"#)
                == .init(resize: .shortestEdge(14), crop: Crop(height: 14, width: 14)))
    }

    @Test func sectionsOfOpenCLIP() throws {
        func openCLIP(_ keys: String, _ height: Int = 14, _ width: Int = 14) throws -> PicturePreparation {
            try preparation(height, width, #", "preprocess_cfg": {"mean": [0, 0, 0]\#(keys)}"#)
        }
        let square = Crop(height: 14, width: 14)
        #expect(try openCLIP("") == .init(resize: .shortestEdge(14), crop: square))
        #expect(
            try openCLIP("", 14, 12)
                == .init(resize: .covering(height: 14, width: 12), crop: Crop(height: 14, width: 12)))
        #expect(
            try openCLIP(#", "resize_mode": "squash", "interpolation": "bilinear""#)
                == .init(resize: .exact(height: 14, width: 14), interpolation: .bilinear))
        #expect(
            try openCLIP(#", "resize_mode": "longest", "fill_color": 7"#)
                == .init(resize: .within(height: 14, width: 14), crop: Crop(height: 14, width: 14, fill: [7])))
    }

    @Test func modelsWithoutAWord() throws {
        #expect(
            try preparation(14, 14, channels: 1)
                == .init(channels: 1, resize: .shortestEdge(14), crop: Crop(height: 14, width: 14)))
        #expect(
            try preparation(14, 21)
                == .init(resize: .covering(height: 14, width: 21), crop: Crop(height: 14, width: 21)))
    }

    @Test func anotherSizeThanTheModels() throws {
        let error = try error(processor: #"{"image_processor_type": "ViTImageProcessor"}"#)
        #expect(error.message.hasSuffix("prepares pictures to 224 x 224 pixels, but the model takes 14 x 14"))
        let open = try self.error(processor: #"{"size": {"shortest_edge": 14}}"#)
        #expect(open.message.contains("another size for each picture"))
        #expect(try self.error(processor: #"{"size": 14, "do_center_crop": true}"#).message.contains("224 x 224"))
    }

    @Test(arguments: [
        (#"{"size": {"longest_edge": 14}}"#, "\"size\" must be 1 to 32768"),
        (#"{"size": {"shortest_edge": 14, "longest_edge": 20}}"#, "\"size\" must be"),
        (#"{"size": 0}"#, "\"size\" must be"),
        (#"{"size": {"height": -3, "width": 14}}"#, "\"size\" must be"),
        (#"{"size": {"height": 9000000000000000000, "width": 14}}"#, "\"size\" must be"),
        (#"{"size": "large"}"#, "\"size\" must be a whole number or a pair"),
        (#"{"size": 14, "resample": 5}"#, "\"resample\" must be 0 for nearest"),
        (#"{"size": 14, "do_center_crop": true, "crop_size": {"shortest_edge": 14}}"#, "\"crop_size\" must be"),
        (#"{"image_processor_type": 3}"#, "\"image_processor_type\" must be a text"),
    ]) func processorsThatAreNotSupported(processor: String, message: String) throws {
        let error = try error(processor: processor)
        #expect(error.message.contains(message), "\(error.message)")
    }

    @Test(arguments: [
        (#""pretrained_cfg": {"input_size": [3, 14]}"#, "\"input_size\" must be"),
        (#""pretrained_cfg": {"input_size": [3, 0, 14]}"#, "\"input_size\" must be"),
        (#""pretrained_cfg": {"crop_pct": 1e-8}"#, "\"crop_pct\" must be"),
        (#""pretrained_cfg": {"crop_pct": -1}"#, "\"crop_pct\" must be"),
        (#""pretrained_cfg": {"crop_pct": 100}"#, "\"crop_pct\" must be"),
        (#""pretrained_cfg": {"crop_mode": "corner"}"#, "crop_mode \"corner\" is not supported"),
        (#""pretrained_cfg": {"interpolation": "random"}"#, "nearest, bilinear, bicubic, lanczos are"),
        (#""preprocess_cfg": {"resize_mode": "fit"}"#, "resize_mode \"fit\" is not supported"),
        (#""preprocess_cfg": {"resize_mode": "longest", "fill_color": 300}"#, "\"fill_color\" must be 0 to 255"),
    ]) func sectionsThatAreNotSupported(section: String, message: String) throws {
        let error = try error(14, 14, ", " + section)
        #expect(error.message.contains(message), "\(error.message)")
    }

    @Test func channelsThatPicturesDoNotHave() throws {
        #expect(try error(channels: 2).message == "pictures have 1 or 3 channels, but the model takes 2")
    }
}
