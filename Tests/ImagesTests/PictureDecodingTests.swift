import Images
import Testing

/// Pictures of every kind, against what Pillow makes of them.
@Suite struct PictureDecodingTests {
    @Test func givesPillowsPixels() throws {
        let rows = try rows(of: "decoded.tsv")
        #expect(rows.count >= 55)
        for row in rows {
            let picture = try decode(try fixture(row[0]))
            #expect("\(picture.width) x \(picture.height)" == "\(row[1]) x \(row[2])", "\(row[0])")
            #expect(checksum(picture.pixels) == row[3], "\(row[0])")
        }
    }

    /// The same grey with alphas from 0 to 255, and without.
    @Test func dropsAlphaWithoutComposing() throws {
        let hidden = try decode(try fixture("grey-alpha8.png"))
        let visible = try decode(try fixture("grey8.png"))
        let isSame = hidden.pixels == visible.pixels
        #expect(isSame)
    }

    /// Each orientation undoes what was done to the upright picture; 6 is a quarter turn clockwise.
    @Test func turnsAsEXIFSays() throws {
        let upright = try decode(try fixture("orientation1.png"))
        let turned = try decode(try fixture("orientation6.png"))
        #expect((turned.width, turned.height) == (upright.height, upright.width))
        // The first row is the left column from below.
        for x in 0..<turned.width {
            let source = 3 * upright.width * (upright.height - 1 - x)
            #expect(turned.pixels[3 * x] == upright.pixels[source])
        }
        let unknown = try decode(try fixture("orientation9.png"))
        let isSame = unknown.pixels == upright.pixels
        #expect(isSame)
    }

    @Test func recognisesFormatsByTheirFirstBytes() {
        func format(_ bytes: [UInt8]) -> PictureFormat? { bytes.withUnsafeBytes { PictureFormat(beginning: $0) } }
        #expect(format([0xFF, 0xD8, 0xFF, 0xE0]) == .jpeg)
        #expect(format([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) == .png)
        #expect(format(Array("RIFF1234WEBPVP8 ".utf8)) == .webp)
        #expect(format(Array("RIFF1234WAVEfmt ".utf8)) == nil)
        #expect(format(Array("RIFF1234WEB".utf8)) == nil)
        #expect(format([0xFF, 0xD8]) == nil)
        #expect(format([]) == nil)
    }
}
