import Checkpoints
import SystemPackage
import TensorCore

/// How 8-bit pixels become the numbers a backbone was trained on: `(pixel * rescaleFactor - mean) / std`, per channel.
///
/// Each of the three has one value for all channels, or one per channel.
public struct ImageNormalization: Sendable, Hashable, Encodable {
    public var rescaleFactor: [Float]
    public var mean: [Float]
    public var std: [Float]

    /// Pixels divided by 255, which is what a configuration without the keys means.
    public static let unit = ImageNormalization(rescaleFactor: [1 / 255], mean: [0], std: [1])

    /// As `ViTImageProcessor` and SigLIP's have it: to -1 to 1.
    static let half = ImageNormalization(rescaleFactor: [1 / 255], mean: [0.5], std: [0.5])
    /// The mean and spread of ImageNet's pixels.
    static let imageNet = ImageNormalization(
        rescaleFactor: [1 / 255], mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225])
    /// The mean and spread of the pixels that CLIP was trained on.
    static let clip = ImageNormalization(
        rescaleFactor: [1 / 255], mean: [0.48145466, 0.4578275, 0.40821073],
        std: [0.26862954, 0.26130258, 0.27577711])

    /// Reads `rescale_factor`, `image_mean` and `image_std` of the configuration or the preprocessor's, or `mean` and `std` of timm's
    /// `pretrained_cfg` and OpenCLIP's `preprocess_cfg`.
    ///
    /// - Parameter standard: what the library does where nothing says so; all pixels alike where it has another number of channels.
    /// - Throws: `input.bad_config` when a value is no number or has another length than the channels.
    init(_ files: ConfigurationFiles, channels: Int, standard: ImageNormalization) throws(InputError) {
        let (main, preprocessor) = (files.main, files.preprocessor)
        let sections = ["pretrained_cfg", "preprocess_cfg"].compactMap { main[$0] }
        func numbers(_ key: String) throws(InputError) -> (numbers: [Float], file: FilePath)? {
            for keys in [main, preprocessor].compactMap({ $0 }) {
                if let numbers = try keys.numbers(key, channels: channels) { return (numbers, keys.file) }
            }
            for section in sections where key.hasPrefix("image_") {
                let numbers = try section.numbers(String(key.dropFirst(6)), channels: channels)
                if let numbers { return (numbers, section.file) }
            }
            return nil
        }
        let isStandard = [1, channels].contains(standard.mean.count)
        mean = try numbers("image_mean")?.numbers ?? (isStandard ? standard : .half).mean
        let spread = try numbers("image_std")
        std = spread?.numbers ?? (isStandard ? standard : .half).std
        rescaleFactor = try numbers("rescale_factor")?.numbers ?? standard.rescaleFactor
        guard std.allSatisfy({ $0 != 0 }) else {
            throw InputError(.badConfig, "\"image_std\" must not be 0", file: spread?.file)
        }
        if try preprocessor?.flag("do_normalize") == false { (mean, std) = ([0], [1]) }
        if try preprocessor?.flag("do_rescale") == false { rescaleFactor = [1] }
    }

    private init(rescaleFactor: [Float], mean: [Float], std: [Float]) {
        self.rescaleFactor = rescaleFactor
        self.mean = mean
        self.std = std
    }

    /// The number for each of the 256 values of a pixel, `[channels, 256]`.
    package func table(channels: Int) -> [Float] {
        (0..<channels).flatMap { channel -> [Float] in
            func value(_ values: [Float]) -> Float { values[values.count == 1 ? 0 : channel] }
            let (factor, mean, std) = (value(rescaleFactor), value(mean), value(std))
            return (0..<256).map { (Float($0) * factor - mean) / std }
        }
    }
}
