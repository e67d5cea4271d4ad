import Checkpoints
import Images
import Networks
import TensorCore

extension PicturePreparation {
    /// Reads how a model's own library prepares pictures: `preprocessor_config.json` of transformers, else OpenCLIP's `preprocess_cfg`, else
    /// timm's `pretrained_cfg`; where nothing says it, the shorter edge is resized to the model's size, bicubic, and the middle cut out.
    ///
    /// - Parameter shape: what the network takes.
    /// - Throws: `input.bad_config` for a value that is none or a way that is not supported, and when the result has another size than
    ///   the network takes.
    init(_ files: ConfigurationFiles, shape: ImageShape) throws(InputError) {
        let main = files.main
        guard shape.channels == 1 || shape.channels == 3 else {
            throw InputError(
                .badConfig, "pictures have 1 or 3 channels, but the model takes \(shape.channels)", file: main.file,
                hint: "give its images as an .npz")
        }
        guard [shape.height, shape.width].allSatisfy((1...Self.largestEdge).contains) else {
            throw InputError(
                .badConfig,
                "the model takes images of \(shape.height) x \(shape.width) pixels, and pictures are resized to at most "
                    + "\(Self.largestEdge)", file: main.file)
        }
        if let keys = files.preprocessor {
            try self.init(processor: keys, shape)
        } else if let keys = main["preprocess_cfg"] {
            try self.init(openCLIP: keys, shape)
        } else if let keys = main["pretrained_cfg"] ?? (main.value("input_size") == nil ? nil : main) {
            try self.init(timm: keys, shape)
        } else {
            self.init(
                channels: shape.channels, resize: Self.covering(shape.height, shape.width),
                crop: Crop(height: shape.height, width: shape.width))
        }
        guard let size = resultSize, size == (shape.height, shape.width) else {
            let file = files.preprocessor?.file ?? main.file
            let result = resultSize.map { "\($0.height) x \($0.width) pixels" } ?? "another size for each picture"
            throw InputError(
                .badConfig,
                "\(file.string) prepares pictures to \(result), but the model takes \(shape.height) x \(shape.width)",
                file: file,
                hint: "check that it belongs to the checkpoint, or give images of that size as an .npz")
        }
    }

    /// The shorter edge for squares, which torchvision rounds in another way than timm and OpenCLIP other sizes.
    private static func covering(_ height: Int, _ width: Int) -> Resize {
        height == width ? .shortestEdge(height) : .covering(height: height, width: width)
    }

    /// What a class of transformers does where its file has no such key.
    private struct ProcessorDefaults {
        var interpolation = Interpolation.bilinear
        /// Whether one number for the size is the shorter edge, and not both.
        var isShortestEdge = false
        var resize: Resize?
        var crops = false

        init(of keys: ConfigKeys) throws(InputError) {
            let (new, old) = (try keys.text("image_processor_type"), try keys.text("feature_extractor_type"))
            var name = (new ?? old ?? "")[...]
            for suffix in ["Fast", "Pil", "ImageProcessor", "FeatureExtractor"] where name.hasSuffix(suffix) {
                name = name.dropLast(suffix.count)
            }
            switch name {
            case "CLIP", "Bit":
                (interpolation, isShortestEdge, resize, crops) = (.bicubic, true, .shortestEdge(224), true)
            case "DeiT": (interpolation, resize, crops) = (.bicubic, .exact(height: 256, width: 256), true)
            case "Siglip": (interpolation, isShortestEdge, resize) = (.bicubic, true, .exact(height: 224, width: 224))
            case "ViT": resize = .exact(height: 224, width: 224)
            default: break
            }
        }
    }

    /// The keys of `preprocessor_config.json`; what is not there is as the class says.
    private init(processor keys: ConfigKeys, _ shape: ImageShape) throws(InputError) {
        let defaults = try ProcessorDefaults(of: keys)
        var resize = try keys.resize("size", isShortestEdge: defaults.isShortestEdge) ?? defaults.resize
        if try keys.flag("do_resize") == false { resize = Resize.none }
        var crop: Crop?
        if try keys.flag("do_center_crop") ?? defaults.crops {
            let size = try keys.resize("crop_size", isShortestEdge: false) ?? .exact(height: 224, width: 224)
            guard case .exact(let height, let width) = size else {
                throw keys.bad("crop_size", "a height and a width")
            }
            crop = Crop(height: height, width: width, rounding: .down)
        }
        if crop == nil, resize == Resize.none {
            // Then pictures have the model's size, and pass as they are.
            resize = .exact(height: shape.height, width: shape.width)
        }
        self.init(
            channels: shape.channels, resize: resize ?? Self.covering(shape.height, shape.width),
            interpolation: try keys.resample() ?? defaults.interpolation, crop: crop)
    }

    /// `interpolation`, `resize_mode` and `fill_color`; the size is the model's, as OpenCLIP has it.
    private init(openCLIP keys: ConfigKeys, _ shape: ImageShape) throws(InputError) {
        let (height, width) = (shape.height, shape.width)
        let interpolation = try keys.interpolation() ?? .bicubic
        var crop = Crop(height: height, width: width)
        switch try keys.text("resize_mode") ?? "shortest" {
        case "shortest":
            self.init(
                channels: shape.channels, resize: Self.covering(height, width), interpolation: interpolation, crop: crop
            )
        case "longest":
            guard let fill = UInt8(exactly: try keys.integer("fill_color") ?? 0) else {
                throw keys.bad("fill_color", "0 to 255")
            }
            crop.fill = [fill]
            self.init(
                channels: shape.channels, resize: .within(height: height, width: width), interpolation: interpolation,
                crop: crop)
        case "squash":
            self.init(
                channels: shape.channels, resize: .exact(height: height, width: width), interpolation: interpolation)
        case let other:
            throw InputError(
                .badConfig, "resize_mode \"\(other)\" is not supported; shortest, longest and squash are",
                file: keys.file)
        }
    }

    /// `input_size`, `crop_pct`, `crop_mode` and `interpolation`, as timm's transform for evaluation has them.
    private init(timm keys: ConfigKeys, _ shape: ImageShape) throws(InputError) {
        var (height, width) = (shape.height, shape.width)
        if let sizes = keys.value("input_size") {
            let list = sizes.array.map { $0.map(\.int) } ?? []
            guard list.count == 3, let h = list[1], let w = list[2], [h, w].allSatisfy((1...Self.largestEdge).contains)
            else {
                throw keys.bad("input_size", "a list of channels, height and width")
            }
            (height, width) = (h, w)
        }
        let share = try keys.number("crop_pct") ?? 0
        // timm takes 0 for none; DEFAULT_CROP_PCT.
        let scale = share == 0 ? 0.875 : share
        let scaled = [height, width].map { (Double($0) / scale).rounded(.down) }
        guard scaled.allSatisfy((1...Double(Self.largestEdge)).contains) else {
            throw keys.bad("crop_pct", "a share that leaves 1 to \(Self.largestEdge) pixels")
        }
        let (scaledHeight, scaledWidth) = (Int(scaled[0]), Int(scaled[1]))
        let interpolation = try keys.interpolation() ?? .bicubic
        var crop = Crop(height: height, width: width)
        let resize: Resize
        switch try keys.text("crop_mode") ?? "center" {
        case "squash": resize = .exact(height: scaledHeight, width: scaledWidth)
        case "border":
            resize = .within(height: scaledHeight, width: scaledWidth)
            let mean = try keys.numbers("mean", channels: shape.channels) ?? ImageNormalization.imageNet.mean
            let fill = mean.map { UInt8(max(0, min(255, (255 * Double($0)).rounded(.toNearestOrEven)))) }
            crop.fill = fill.count == shape.channels ? fill : [fill[0]]
        case "center": resize = Self.covering(scaledHeight, scaledWidth)
        case let other:
            throw InputError(
                .badConfig, "crop_mode \"\(other)\" is not supported; center, squash and border are", file: keys.file)
        }
        self.init(channels: shape.channels, resize: resize, interpolation: interpolation, crop: crop)
    }
}

extension ConfigKeys {
    /// A size as transformers writes it: one number, a pair of height and width, or an object with `height` and `width` or `shortest_edge`.
    fileprivate func resize(_ key: String, isShortestEdge: Bool) throws(InputError) -> PicturePreparation.Resize? {
        guard value(key) != nil else { return nil }
        func checked(_ edges: Int?...) throws(InputError) {
            guard edges.allSatisfy({ $0.map((1...PicturePreparation.largestEdge).contains) ?? false }) else {
                throw bad(
                    key,
                    "1 to \(PicturePreparation.largestEdge) for \"height\" and \"width\", or for \"shortest_edge\" alone"
                )
            }
        }
        if let keys = self[key] {
            if keys.names == ["shortest_edge"], let edge = try keys.integer("shortest_edge") {
                try checked(edge)
                return .shortestEdge(edge)
            }
            let (height, width) = (try keys.integer("height"), try keys.integer("width"))
            try checked(height, width)
            guard let height, let width else { return nil }
            return .exact(height: height, width: width)
        }
        guard let (height, width) = try size(key) else { return nil }
        try checked(height, width)
        return isShortestEdge && value(key)?.int != nil ? .shortestEdge(height) : .exact(height: height, width: width)
    }

    /// `resample` by the numbers of Pillow's filters.
    fileprivate func resample() throws(InputError) -> Interpolation? {
        switch try integer("resample") {
        case nil: return nil
        case 0: return .nearest
        case 1: return .lanczos
        case 2: return .bilinear
        case 3: return .bicubic
        default:
            throw bad("resample", "0 for nearest, 1 for Lanczos, 2 for bilinear or 3 for bicubic")
        }
    }

    /// `interpolation` by its name; an empty one counts as none.
    fileprivate func interpolation() throws(InputError) -> Interpolation? {
        guard let name = try text("interpolation"), !name.isEmpty else { return nil }
        guard let interpolation = Interpolation(rawValue: name) else {
            throw InputError(
                .badConfig,
                "interpolation \"\(name)\" is not supported; "
                    + "\(Interpolation.allCases.map(\.rawValue).joined(separator: ", ")) are", file: file)
        }
        return interpolation
    }
}
