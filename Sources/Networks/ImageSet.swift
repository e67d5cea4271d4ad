/// Images as a network sees them: normalised numbers, one image after the other.
///
/// They are kept as numbers, or as pixels of one byte with the number that each value stands for, which takes a quarter of the memory and
/// gives the same numbers.
public struct ImageSet: Sendable {
    /// The number of images, N.
    public let count: Int
    /// The size of each.
    public let shape: ImageShape
    private let storage: Storage

    private enum Storage: Sendable {
        /// `[N, C, H, W]`, row-major.
        case numbers([Float])
        /// The same of pixels, and `[C, 256]` what each value is in each channel.
        case pixels([UInt8], table: [Float])
    }

    /// Takes images as one row-major array.
    ///
    /// - Throws: `NetworkError` `network.bad_images` when the set is empty or the numbers do not fill the shape.
    public init(values: [Float], count: Int, shape: ImageShape) throws(NetworkError) {
        try Self.check(values.count, count, shape)
        self.init(.numbers(values), count, shape)
    }

    /// Takes images as one row-major array of pixels.
    ///
    /// - Shapes: `pixels` `[N, C, H, W]`; `table` `[C, 256]` the number that each value of a pixel stands for in each channel.
    /// - Throws: as with numbers.
    public init(pixels: [UInt8], table: [Float], count: Int, shape: ImageShape) throws(NetworkError) {
        try Self.check(pixels.count, count, shape)
        guard table.count == 256 * shape.channels else {
            throw NetworkError(
                .badImages, "a table of \(table.count) numbers does not serve \(shape.channels) channels of 256 values")
        }
        self.init(.pixels(pixels, table: table), count, shape)
    }

    private init(_ storage: Storage, _ count: Int, _ shape: ImageShape) {
        (self.storage, self.count, self.shape) = (storage, count, shape)
    }

    private static func check(_ found: Int, _ count: Int, _ shape: ImageShape) throws(NetworkError) {
        let sizes = "[\(count), \(shape.channels), \(shape.height), \(shape.width)]"
        guard count > 0, shape.channels > 0, shape.height > 0, shape.width > 0 else {
            throw NetworkError(.badImages, "the images have the shape \(sizes), which is empty")
        }
        let (product, overflow) = count.multipliedReportingOverflow(by: shape.elementCount)
        let expected = overflow ? .max : product
        guard found == expected else {
            throw NetworkError(
                .badImages, "images of the shape \(sizes) need \(expected) numbers, but there are \(found)")
        }
    }

    /// The numbers of all images, `[N, C, H, W]`; a copy where they are kept as pixels.
    public var values: [Float] {
        switch storage {
        case .numbers(let values): values
        case .pixels:
            [Float](unsafeUninitializedCapacity: count * shape.elementCount) { values, filled in
                guard let target = values.baseAddress else { return }
                let plane = shape.height * shape.width
                withReader { reader in
                    for start in stride(from: 0, to: count * shape.elementCount, by: plane) {
                        reader.copy(start, channel: start / plane % shape.channels, count: plane, to: target + start)
                    }
                }
                filled = count * shape.elementCount
            }
        }
    }

    /// The bytes that the images are kept in.
    package var byteCount: Int {
        switch storage {
        case .numbers(let values): values.count * MemoryLayout<Float>.stride
        case .pixels(let pixels, let table): pixels.count + table.count * MemoryLayout<Float>.stride
        }
    }

    /// At most so many of the images, evenly spread over all of them.
    func spread(atMost limit: Int) -> ImageSet {
        guard count > limit, limit > 0 else { return self }
        func chosen<Value>(_ values: [Value]) -> [Value] {
            let size = shape.elementCount
            return spreadRows(of: count, atMost: limit).flatMap { values[$0 * size..<($0 + 1) * size] }
        }
        return switch storage {
        case .numbers(let values): ImageSet(.numbers(chosen(values)), limit, shape)
        case .pixels(let pixels, let table): ImageSet(.pixels(chosen(pixels), table: table), limit, shape)
        }
    }

    /// Lends the numbers to a function that copies parts of them.
    func withReader<Result>(_ body: (ImageReader) -> Result) -> Result {
        switch storage {
        case .numbers(let values): values.withUnsafeBufferPointer { body(.numbers($0)) }
        case .pixels(let pixels, let table):
            pixels.withUnsafeBufferPointer { pixels in
                table.withUnsafeBufferPointer { body(.pixels(pixels, table: $0)) }
            }
        }
    }
}

/// The numbers of images while they are lent.
enum ImageReader {
    case numbers(UnsafeBufferPointer<Float>)
    case pixels(UnsafeBufferPointer<UInt8>, table: UnsafeBufferPointer<Float>)

    /// Copies consecutive numbers of one channel.
    ///
    /// - Parameter place: that of the first, counted over all images.
    /// Safety: the target has room for `count` numbers, and these lie inside one channel of one image.
    func copy(_ place: Int, channel: Int, count: Int, to target: UnsafeMutablePointer<Float>) {
        switch self {
        case .numbers(let values): target.update(from: values.baseAddress! + place, count: count)
        case .pixels(let pixels, let table):
            let (source, numbers) = (pixels.baseAddress! + place, table.baseAddress! + 256 * channel)
            for i in 0..<count { target[i] = numbers[Int(source[i])] }
        }
    }
}

/// At most so many of `count` places, evenly spread.
func spreadRows(of count: Int, atMost limit: Int) -> [Int] { (0..<limit).map { $0 * count / limit } }
