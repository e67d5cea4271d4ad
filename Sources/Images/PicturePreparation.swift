import CKernels

/// How a model's own processor brings a picture to the size that the model takes: resize, then crop at the centre, on 8-bit pixels.
///
/// Resizing is Pillow's, to the byte. What becomes of the pixels afterwards is a matter of the normalisation.
package struct PicturePreparation: Sendable, Hashable, Encodable {
    /// What the picture is resized to.
    package enum Resize: Sendable, Hashable, Encodable {
        /// Nothing is resized.
        case none
        /// That height and width, whatever the aspect.
        case exact(height: Int, width: Int)
        /// The shorter edge to a length; the other follows and is rounded down, as in torchvision.
        case shortestEdge(Int)
        /// The aspect stays, and both edges are at least as long as these, or one is as long and the other is shorter: `ResizeKeepRatio` of timm and
        /// OpenCLIP, which rounds to the nearest number.
        case covering(height: Int, width: Int)
        case within(height: Int, width: Int)
    }

    /// What a crop does with half a pixel, where the rest is odd.
    package enum Rounding: String, Sendable, Hashable, Encodable {
        /// To the left and up, as transformers.
        case down
        /// To the even place, as torchvision.
        case toEven
    }

    /// What is cut out of the middle. Where the picture is smaller, it is padded.
    package struct Crop: Sendable, Hashable, Encodable {
        package var height: Int
        package var width: Int
        package var rounding: Rounding
        /// The value of what is padded, one for all channels or one for each.
        package var fill: [UInt8]

        package init(height: Int, width: Int, rounding: Rounding = .toEven, fill: [UInt8] = [0]) {
            (self.height, self.width, self.rounding, self.fill) = (height, width, rounding, fill)
        }
    }

    /// 3 for RGB, 1 for Pillow's `convert("L")` of it.
    package let channels: Int
    package let resize: Resize
    package let interpolation: Interpolation
    package let crop: Crop?

    /// A preparation by its parts.
    ///
    /// - Precondition: one or three channels, sizes above 0 and of at most ``largestEdge``, a fill for each channel or for all.
    package init(channels: Int = 3, resize: Resize, interpolation: Interpolation = .bicubic, crop: Crop? = nil) {
        let sizes: [Int] =
            switch resize {
            case .none: []
            case .shortestEdge(let edge): [edge]
            case .exact(let height, let width), .covering(let height, let width), .within(let height, let width):
                [height, width]
            }
        let edges = sizes + (crop.map { [$0.height, $0.width] } ?? [])
        precondition(edges.allSatisfy { (1...Self.largestEdge).contains($0) })
        precondition(channels == 1 || channels == 3)
        precondition(crop.map { [1, channels].contains($0.fill.count) } ?? true)
        (self.channels, self.resize, self.interpolation, self.crop) = (channels, resize, interpolation, crop)
    }

    /// What an edge may be resized or cropped to.
    package static let largestEdge = 1 << 15

    /// The height and width of what comes out; nil when it depends on the picture.
    package var resultSize: (height: Int, width: Int)? {
        if let crop { return (crop.height, crop.width) }
        if case .exact(let height, let width) = resize { return (height, width) }
        return nil
    }

    /// Writes the picture as the model takes it, `[channels, height, width]`, in ``resultSize``.
    ///
    /// - Precondition: there is a ``resultSize``, and `out` has room for it.
    /// - Cost: what a crop leaves out is not computed.
    package func apply(_ picture: Picture, into out: UnsafeMutablePointer<UInt8>) {
        guard let result = resultSize else { preconditionFailure("the size of the result depends on the picture") }
        let size = resizedSize(height: picture.height, width: picture.width)
        let (top, left) =
            crop.map { (Self.offset(size.height, $0.height, $0), Self.offset(size.width, $0.width, $0)) } ?? (0, 0)
        // The part of the result that pixels reach, and where it lies in the resized picture.
        let rows = max(0, top)..<min(size.height, top + result.height)
        let columns = max(0, left)..<min(size.width, left + result.width)
        let window = Resampling(size: size, rows: rows, columns: columns, interpolation: interpolation)
        let pixels = picture.pixels.withUnsafeBufferPointer { source in
            guard channels == 1 else {
                return window.apply(source.baseAddress!, height: picture.height, width: picture.width, channels: 3)
            }
            let grey = [UInt8](unsafeUninitializedCapacity: source.count / 3) { grey, initialized in
                // Safety: both have a place for each pixel.
                untangle_grey(source.baseAddress, source.count / 3, grey.baseAddress)
                initialized = source.count / 3
            }
            return window.apply(grey, height: picture.height, width: picture.width, channels: 1)
        }
        let plane = result.height * result.width
        if rows.count * columns.count < plane {
            let fill = crop?.fill ?? [0]
            for channel in 0..<channels {
                (out + channel * plane).update(repeating: fill[fill.count == 1 ? 0 : channel], count: plane)
            }
        }
        pixels.withUnsafeBufferPointer { pixels in
            for channel in 0..<channels {
                var source = channel
                for row in rows {
                    // Safety: the window lies within the result, by its making.
                    let target = out + channel * plane + (row - top) * result.width + columns.lowerBound - left
                    for column in 0..<columns.count {
                        target[column] = pixels[source]
                        source += channels
                    }
                }
            }
        }
    }

    /// The size of the whole picture after resizing, each edge at least 1.
    func resizedSize(height: Int, width: Int) -> (height: Int, width: Int) {
        func keepingAspect(_ ratio: Double) -> (height: Int, width: Int) {
            func scaled(_ edge: Int) -> Int { max(1, Int((Double(edge) / ratio).rounded(.toNearestOrEven))) }
            return (scaled(height), scaled(width))
        }
        switch resize {
        case .none: return (height, width)
        case .exact(let height, let width): return (height, width)
        case .shortestEdge(let edge):
            // As Python divides: exact integers, one rounding, and the whole part.
            let long = Int(Double(edge * max(height, width)) / Double(min(height, width)))
            return width <= height ? (long, edge) : (edge, long)
        case .covering(let targetHeight, let targetWidth):
            return keepingAspect(min(Double(height) / Double(targetHeight), Double(width) / Double(targetWidth)))
        case .within(let targetHeight, let targetWidth):
            return keepingAspect(max(Double(height) / Double(targetHeight), Double(width) / Double(targetWidth)))
        }
    }

    /// Where a crop begins in an edge; below 0 where the edge is shorter and padded, the larger half behind.
    private static func offset(_ edge: Int, _ target: Int, _ crop: Crop) -> Int {
        guard edge > target else { return -((target - edge) / 2) }
        let half = Double(edge - target) / 2
        return Int(crop.rounding == .down ? half.rounded(.down) : half.rounded(.toNearestOrEven))
    }
}
