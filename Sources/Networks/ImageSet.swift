/// Images as a network sees them: normalised numbers, one image after the other.
public struct ImageSet: Sendable {
    /// `[N, C, H, W]`, row-major.
    public let values: [Float]
    /// The number of images, N.
    public let count: Int
    /// The size of each.
    public let shape: ImageShape

    /// Takes images as one row-major array.
    ///
    /// - Throws: `NetworkError` `network.bad_images` when the set is empty or the numbers do not fill the shape.
    public init(values: [Float], count: Int, shape: ImageShape) throws(NetworkError) {
        let sizes = "[\(count), \(shape.channels), \(shape.height), \(shape.width)]"
        guard count > 0, shape.channels > 0, shape.height > 0, shape.width > 0 else {
            throw NetworkError(.badImages, "the images have the shape \(sizes), which is empty")
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: shape.elementCount)
        let expected = overflow ? .max : product
        guard values.count == expected else {
            throw NetworkError(
                .badImages, "images of the shape \(sizes) need \(expected) numbers, but there are \(values.count)")
        }
        self.values = values
        self.count = count
        self.shape = shape
    }

    /// At most so many of the images, evenly spread over all of them.
    func spread(atMost limit: Int) -> ImageSet {
        guard count > limit, limit > 0 else { return self }
        let size = values.count / count
        return ImageSet(
            chosen: (0..<limit).flatMap { place in
                let start = place * count / limit * size
                return values[start..<start + size]
            }, count: limit, of: self)
    }

    private init(chosen: [Float], count: Int, of set: ImageSet) {
        (values, self.count, shape) = (chosen, count, set.shape)
    }
}
