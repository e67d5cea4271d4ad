/// A picture in memory: RGB of 8 bits, as `Image.convert("RGB")` of Pillow gives it.
package struct Picture: Sendable {
    package let width: Int
    package let height: Int
    /// `[height, width, 3]`, rows from the top.
    package let pixels: [UInt8]

    /// Pixels that are at hand.
    ///
    /// - Precondition: there are `3 * width * height` of them, and at least one.
    package init(width: Int, height: Int, pixels: [UInt8]) {
        precondition(width > 0 && height > 0 && pixels.count == 3 * width * height)
        self.width = width
        self.height = height
        self.pixels = pixels
    }

    /// The most pixels that are decoded without another limit; Pillow refuses larger pictures as decompression bombs.
    package static let standardPixelLimit = 178_956_970

    /// The longest edge; only PNG can have longer ones. A decoder holds rows, so a file of one row would take as much memory as it says.
    package static let longestEdge = 1_000_000

    /// Decodes a JPEG, PNG or WebP file and turns it the way up that its EXIF data say.
    ///
    /// The pixels are those of Pillow's `ImageOps.exif_transpose(Image.open(file)).convert("RGB")`: transparency is dropped and not
    /// composed, grey of 16 bits is cut off above 255, colours of 16 bits keep their high byte, and CMYK is taken as Adobe's and converted
    /// without a profile. An animation gives its first frame.
    ///
    /// - Parameter maxPixelCount: what the header may announce, decided before any memory is taken.
    /// - Throws: `PictureError`, also for a file that ends before its last row.
    package init(
        decoding bytes: UnsafeRawBufferPointer, maxPixelCount: Int = standardPixelLimit
    ) throws(PictureError) {
        guard let format = PictureFormat(beginning: bytes) else {
            throw PictureError(
                .unknownFormat,
                bytes.isEmpty ? "the picture has no bytes" : "the bytes are no JPEG, PNG or WebP picture")
        }
        let (width, height) = try format.size(of: bytes)
        let (count, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, count <= min(maxPixelCount, Int.max / 3) else {
            throw PictureError(
                .tooLarge, "the picture has \(width) x \(height) pixels, more than \(maxPixelCount)",
                hint: "scale it down")
        }
        guard max(width, height) <= Self.longestEdge else {
            throw PictureError(
                .tooLarge, "the picture has \(width) x \(height) pixels, and an edge may have \(Self.longestEdge)",
                hint: "cut it into pieces")
        }
        guard count > 0 else { throw PictureError(.damaged, "the picture has \(width) x \(height) pixels") }
        var failure: PictureError?
        let pixels = [UInt8](unsafeUninitializedCapacity: 3 * count) { pixels, initialized in
            // Safety: the room has 3 bytes for each pixel, which is all that is written, and all of it unless there is an error.
            do throws(PictureError) {
                try format.decode(
                    bytes, width: width, height: height,
                    into: UnsafeMutableBufferPointer(rebasing: pixels[..<(3 * count)]))
                initialized = 3 * count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        let picture = Picture(width: width, height: height, pixels: pixels)
        self = PictureOrientation(of: bytes, format)?.applied(to: picture) ?? picture
    }
}
