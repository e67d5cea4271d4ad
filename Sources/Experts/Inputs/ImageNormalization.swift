import Checkpoints
import SystemPackage

/// How 8-bit pixels become the numbers a backbone was trained on: `(pixel * rescaleFactor - mean) / std`, per channel.
///
/// Each of the three has one value for all channels, or one per channel.
public struct ImageNormalization: Sendable, Hashable, Encodable {
    public var rescaleFactor: [Float]
    public var mean: [Float]
    public var std: [Float]

    /// Pixels divided by 255, which is what a configuration without the keys means.
    public static let unit = ImageNormalization(rescaleFactor: [1 / 255], mean: [0], std: [1])

    /// Reads `rescale_factor`, `image_mean` and `image_std`, or `mean` and `std` of timm's `pretrained_cfg`.
    ///
    /// - Throws: `input.bad_config` when a value is no number or has another length than the channels.
    init(config: JSONValue, channels: Int, file: FilePath) throws(InputError) {
        func numbers(_ key: String, _ value: JSONValue?) throws(InputError) -> [Float]? {
            guard let value, !value.isNull else { return nil }
            let list = value.array.map { $0.map(\.double) } ?? [value.double]
            let numbers = list.compactMap { $0 }.map { Float($0) }
            guard numbers.count == list.count, numbers.count == 1 || numbers.count == channels,
                numbers.allSatisfy(\.isFinite)
            else {
                throw InputError(
                    .badConfig,
                    "\"\(key)\" must be one number"
                        + (channels == 1 ? "" : ", or a list of \(channels), one per channel"),
                    file: file)
            }
            return numbers
        }
        let timm = config["pretrained_cfg"]
        mean = try numbers("image_mean", config["image_mean"] ?? timm?["mean"]) ?? [0]
        std = try numbers("image_std", config["image_std"] ?? timm?["std"]) ?? [1]
        rescaleFactor = try numbers("rescale_factor", config["rescale_factor"]) ?? [1 / 255]
        guard std.allSatisfy({ $0 != 0 }) else {
            throw InputError(.badConfig, "\"image_std\" must not be 0", file: file)
        }
    }

    private init(rescaleFactor: [Float], mean: [Float], std: [Float]) {
        self.rescaleFactor = rescaleFactor
        self.mean = mean
        self.std = std
    }

    /// The number for each of the 256 pixel values of a channel.
    func table(channel: Int) -> [Float] {
        func value(_ values: [Float]) -> Float { values[values.count == 1 ? 0 : channel] }
        let (factor, mean, std) = (value(rescaleFactor), value(mean), value(std))
        return (0..<256).map { (Float($0) * factor - mean) / std }
    }
}
