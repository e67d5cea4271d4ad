import Checkpoints
import Images
import SystemPackage
import TensorCore
import TestSupport

/// The bytes of a picture in `Fixtures/images/files`.
func fixture(_ name: String) throws -> [UInt8] {
    try MappedFile(Fixtures.path("images/files/\(name)")).withUnsafeBytes(Array.init)
}

/// The rows of a table in `Fixtures/images`, without its title, as texts.
func rows(of name: String) throws -> [[String]] {
    let text = String(
        decoding: try MappedFile(Fixtures.path("images/\(name)")).withUnsafeBytes(Array.init), as: UTF8.self)
    return text.split(separator: "\n").dropFirst().map { $0.split(separator: "\t").map(String.init) }
}

func decode(_ bytes: [UInt8], maxPixelCount: Int = Picture.standardPixelLimit) throws(PictureError) -> Picture {
    let result = bytes.withUnsafeBytes { bytes in
        Result { () throws(PictureError) in try Picture(decoding: bytes, maxPixelCount: maxPixelCount) }
    }
    return try result.get()
}

/// What a preparation makes of a picture; bytes that are not written stay 77.
func apply(_ preparation: PicturePreparation, to picture: Picture) -> [UInt8] {
    guard let size = preparation.resultSize else { return [] }
    var out = [UInt8](repeating: 77, count: preparation.channels * size.height * size.width)
    out.withUnsafeMutableBufferPointer { preparation.apply(picture, into: $0.baseAddress!) }
    return out
}

/// As Python's `zlib.crc32` and eight digits.
func checksum(_ bytes: [UInt8]) -> String {
    let digits = String(bytes.withUnsafeBytes(CRC32.of), radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
}

/// The picture that `make_fixtures.py` makes by the same formula.
func photo(_ width: Int, _ height: Int) -> Picture {
    var pixels: [UInt8] = []
    pixels.reserveCapacity(3 * width * height)
    for y in 0..<height {
        for x in 0..<width {
            for c in 0..<3 {
                let slope = (x * (3 + c) + y * (5 - c)) % 211
                let texture = ((x * x + 3 * y * y + 11 * c) / 16) % 61
                pixels.append(UInt8((slope + texture + 40 * ((x / 5 + y / 3) % 2)) % 256))
            }
        }
    }
    return Picture(width: width, height: height, pixels: pixels)
}

/// A PNG with the checksums of its chunks made right, as far as they are whole.
func resealed(_ png: [UInt8]) -> [UInt8] {
    var png = png
    var place = 8
    while place + 12 <= png.count {
        let length = png[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
        guard length <= png.count - place - 12 else { break }
        let sum = Array(png[place + 4..<place + 8 + length]).withUnsafeBytes(CRC32.of)
        for byte in 0..<4 { png[place + 8 + length + byte] = UInt8(truncatingIfNeeded: sum >> (24 - 8 * byte)) }
        place += 12 + length
    }
    return png
}
