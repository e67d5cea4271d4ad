/// Images as a network sees them: normalised numbers, one image after the other.
public struct ImageSet: Sendable {
    /// `[N, C, H, W]`, row-major.
    public let values: [Float]
    /// The number of images, N.
    public let count: Int
    public let channels: Int
    public let height: Int
    public let width: Int

    /// Takes images as one row-major array.
    ///
    /// - Throws: `NetworkError` `network.bad_images` when the set is empty or the numbers do not fill the shape.
    public init(values: [Float], count: Int, channels: Int, height: Int, width: Int) throws(NetworkError) {
        guard count > 0, channels > 0, height > 0, width > 0 else {
            throw NetworkError(
                .badImages, "the images have the shape [\(count), \(channels), \(height), \(width)], which is empty")
        }
        var expected = 1
        for size in [count, channels, height, width] {
            let (product, overflow) = expected.multipliedReportingOverflow(by: size)
            expected = overflow ? .max : product
        }
        guard values.count == expected else {
            throw NetworkError(
                .badImages,
                "images of the shape [\(count), \(channels), \(height), \(width)] need \(expected) numbers, but there "
                    + "are \(values.count)")
        }
        self.values = values
        self.count = count
        self.channels = channels
        self.height = height
        self.width = width
    }

    /// At most so many of the images, evenly spread over all of them.
    package func spread(atMost limit: Int) -> ImageSet {
        guard count > limit, limit > 0 else { return self }
        let size = values.count / count
        return ImageSet(
            chosen: (0..<limit).flatMap { place in
                let start = place * count / limit * size
                return values[start..<start + size]
            }, count: limit, of: self)
    }

    private init(chosen: [Float], count: Int, of set: ImageSet) {
        (values, self.count) = (chosen, count)
        (channels, height, width) = (set.channels, set.height, set.width)
    }
}
