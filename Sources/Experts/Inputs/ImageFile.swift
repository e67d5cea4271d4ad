import Checkpoints
import Networks
import SystemPackage
import TensorCore

/// The images of a data file, normalised as a backbone expects them, and their labels if there are any.
///
/// The file has `images` `[N, C, H, W]` or `[N, H, W]`, 8-bit (normalised by the backbone's configuration) or floating point
/// (taken as they are), and optionally integer `labels` `[N]`.
public struct ImageFile: Sendable {
    public let path: FilePath
    public let images: ImageSet
    /// One class per image.
    public let labels: [Int]?
    /// What should be known although the images can be used.
    public let warnings: [Warning]

    /// Reads images and labels.
    ///
    /// - Throws: `input.*` with file and tensor, `FormatError`, `IOError`.
    public init(
        _ path: FilePath, of shape: ImageShape, normalization: ImageNormalization,
        options: ReadOptions = ReadOptions()
    ) throws {
        self.path = path
        let store = try DataFile.open(path, of: .images(shape), options: options)
        let images = try store.required("images")
        let expected = [shape.channels, shape.height, shape.width]
        let dims = images.shape.dims
        let found = dims.count == 3 ? [1] + dims.dropFirst() : Array(dims.dropFirst())
        guard found == expected, dims[0] > 0 else {
            throw InputError(
                .badShape,
                "\"images\" has shape \(images.shape) but the backbone takes [N, \(expected[0]), "
                    + "\(expected[1]), \(expected[2])]", file: path, tensor: "images",
                hint: dims.count == 4 && Array(dims[1...]) == [expected[1], expected[2], expected[0]]
                    ? "channels come before height and width" : nil)
        }
        let values = images.dtype == .u8 ? nil : try Self.finiteValues(of: store, perImage: shape.elementCount)
        self.images =
            try values.map { try ImageSet(values: $0, count: dims[0], shape: shape) }
            ?? ImageSet(
                pixels: try Self.pixels(of: store, images), table: normalization.table(channels: shape.channels),
                count: dims[0], shape: shape)
        labels = try DataFile.labels(in: store, count: dims[0], of: .images(shape))
        warnings =
            values.flatMap { PixelRange(of: $0).oddity }.map {
                [Warning(DataWarning.pixelRange, "\"images\" of \(path.string) \($0)")]
            } ?? []
    }

    /// Floating-point images as they are, row-major. NaN would run through every layer and come out as a class.
    private static func finiteValues(of store: TensorStore, perImage count: Int) throws -> [Float] {
        if let dtype = store.descriptor(named: "images")?.dtype, !dtype.isComputable {
            throw InputError(
                .badDtype,
                "\"images\" of \(store.path.string) is \(dtype.rawValue); U8 or a floating-point type is needed",
                file: store.path, tensor: "images", hint: "store 8-bit pixels as uint8: images.astype(np.uint8)")
        }
        return try store.finiteFloats("images") { "in image \($0 / count)" }.values
    }

    private static func pixels(of store: TensorStore, _ images: TensorDescriptor) throws -> [UInt8] {
        guard let bytes = try store.bytes(of: images.name) else { return [] }
        try requireMemory(count: images.elementCount, of: UInt8.self)
        return bytes.withUnsafeBytes { Array($0) }
    }
}
