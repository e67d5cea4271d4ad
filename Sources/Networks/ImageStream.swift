/// Images that are read when they are needed: a set that is larger than memory.
public struct ImageStream: Sendable {
    /// The number of images, N.
    public let count: Int
    /// The size of each.
    public let shape: ImageShape
    /// Bytes of one image in memory.
    private let imageByteCount: Int
    private let read: @Sendable ([Int]) throws -> ImageSet

    /// Takes a function that reads images.
    ///
    /// - Parameters:
    ///   - imageByteCount: what one image takes once it is read.
    ///   - read: the images of some rows, in their order; called from several threads at once.
    /// - Throws: `NetworkError` `network.bad_images` when there is no image.
    public init(
        count: Int, shape: ImageShape, imageByteCount: Int, read: @escaping @Sendable ([Int]) throws -> ImageSet
    ) throws(NetworkError) {
        guard count > 0 else { throw NetworkError(.badImages, "there is no image") }
        (self.count, self.shape, self.imageByteCount, self.read) = (count, shape, imageByteCount, read)
    }

    /// Reads some images.
    ///
    /// - Throws: what the function throws; `NetworkError` `network.bad_images` for images of another number or size.
    func images(_ rows: [Int]) throws -> ImageSet {
        let images = try read(rows)
        guard images.count == rows.count, images.shape == shape else {
            throw NetworkError(
                .badImages, "\(rows.count) images \(shape) were to be read, and \(images.count) \(images.shape) came")
        }
        return images
    }

    /// What so many images take in memory; `Int.max` when that cannot be counted.
    package func byteCount(of rows: Int) -> Int {
        let (product, overflow) = rows.multipliedReportingOverflow(by: imageByteCount)
        return overflow ? .max : product
    }

    /// At most so many of the images, evenly spread over all of them.
    func spread(atMost limit: Int) -> ImageStream {
        guard count > limit, limit > 0 else { return self }
        let chosen = spreadRows(of: count, atMost: limit)
        return ImageStream(of: self, chosen)
    }

    private init(of stream: ImageStream, _ chosen: [Int]) {
        (count, shape, imageByteCount) = (chosen.count, stream.shape, stream.imageByteCount)
        read = { try stream.images($0.map { chosen[$0] }) }
    }
}
