import CJPEG
import CPictures
import Glibc
import Images
import Kernels
import TensorCore

extension BenchmarkCase {
    /// Pictures as they come out of cameras, brought to what a vision transformer takes.
    static let pictures = BenchmarkCase(
        name: "pictures", question: "How fast are JPEGs decoded and resized, beside libjpeg alone?",
        options: "[--size 224] [--quality 90] [--threads N] [--runs 30]"
    ) { options in
        let size = try options.number("size", default: 224)
        let quality = try options.number("quality", default: 90)
        let threads = try options.budget().threads
        let runs = try options.number("runs", default: 30)
        for (width, height) in [(500, 375), (1600, 1200)] {
            let file = SyntheticJPEG(width: width, height: height, quality: quality)
            print("\(width) x \(height), \(file.bytes.count / 1000) kB, to \(size), best of \(runs):")
            var scratch = [UInt8](repeating: 0, count: 3 * width * height)
            let alone = Series(runs: runs) { file.decode(into: &scratch) }.best.wallSeconds
            print("  libjpeg alone: \(fixed(1e3 * alone, 2)) ms")
            for interpolation in [Interpolation.bilinear, .bicubic] {
                let preparation = PicturePreparation(
                    resize: .shortestEdge(size), interpolation: interpolation,
                    crop: PicturePreparation.Crop(height: size, width: size))
                let whole = try Series(runs: runs) { try file.prepare(preparation) }.best.wallSeconds
                // Every thread the same picture, as many as fill a batch.
                let batch = try Series(runs: 3) {
                    try parallel(count: 64, threads: threads) { _ in try file.prepare(preparation) }
                }.best.wallSeconds
                print(
                    "  \(interpolation.rawValue): \(fixed(1e3 * whole, 2)) ms, \(fixed(whole / alone, 2)) times libjpeg alone; "
                        + "\(fixed(64 / batch, 0)) pictures per second on \(threads) threads")
            }
        }
    }
}

/// A JPEG with slopes, texture and some noise, colours at half the resolution.
private struct SyntheticJPEG: Sendable {
    let width: Int
    let height: Int
    let bytes: [UInt8]

    init(width: Int, height: Int, quality: Int) {
        (self.width, self.height) = (width, height)
        let generator = CounterGenerator(seed: 3, stream: 0)
        let pixels = (0..<3 * width * height).map { place -> UInt8 in
            let (x, y, c) = (Double(place / 3 % width), Double(place / 3 / width), Double(place % 3))
            let wave = 60 * sin(x / 37 + c) + 40 * cos(y / 23 - c) + 12 * sin((x + 2 * y) / 3)
            return UInt8(max(0, min(255, 128 + wave + Double(generator.below(17, UInt64(place))) - 8)))
        }
        bytes = Self.encoded(pixels, width: width, height: height, quality: quality)
    }

    private static func encoded(_ pixels: [UInt8], width: Int, height: Int, quality: Int) -> [UInt8] {
        var errors = jpeg_error_mgr()
        var info = jpeg_compress_struct()
        var (file, count) = (UnsafeMutablePointer<UInt8>?.none, UInt(0))
        // Safety: libjpeg writes into a file that it allocates; the rows that it reads are those of `pixels`.
        return withUnsafeMutablePointer(to: &errors) { errors in
            info.err = jpeg_std_error(errors)
            jpeg_CreateCompress(&info, JPEG_LIB_VERSION, MemoryLayout<jpeg_compress_struct>.size)
            jpeg_mem_dest(&info, &file, &count)
            (info.image_width, info.image_height) = (JDIMENSION(width), JDIMENSION(height))
            (info.input_components, info.in_color_space) = (3, JCS_RGB)
            jpeg_set_defaults(&info)
            jpeg_set_quality(&info, Int32(quality), 1)
            jpeg_start_compress(&info, 1)
            var rows = pixels
            rows.withUnsafeMutableBufferPointer { rows in
                for y in 0..<height {
                    var row: UnsafeMutablePointer<UInt8>? = rows.baseAddress! + 3 * width * y
                    jpeg_write_scanlines(&info, &row, 1)
                }
            }
            jpeg_finish_compress(&info)
            jpeg_destroy_compress(&info)
            defer { free(file) }
            return Array(UnsafeBufferPointer(start: file, count: Int(count)))
        }
    }

    /// What the library does, without anything around it.
    func decode(into pixels: inout [UInt8]) {
        var message = [CChar](repeating: 0, count: untangle_picture_message_size)
        _ = untangle_jpeg_decode(bytes, bytes.count, UInt32(width), UInt32(height), &pixels, &message)
    }

    func prepare(_ preparation: PicturePreparation) throws {
        let picture = try bytes.withUnsafeBytes { try Picture(decoding: $0) }
        guard let size = preparation.resultSize else { return }
        var out = [UInt8](repeating: 0, count: 3 * size.height * size.width)
        out.withUnsafeMutableBufferPointer { preparation.apply(picture, into: $0.baseAddress!) }
    }
}
