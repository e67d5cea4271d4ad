import Glibc
import Images
import Testing

/// Every way in which a picture can be none.
@Suite struct PictureErrorTests {
    private func error(_ bytes: [UInt8], maxPixelCount: Int = Picture.standardPixelLimit) throws -> PictureError {
        try #require(throws: PictureError.self) { _ = try decode(bytes, maxPixelCount: maxPixelCount) }
    }

    /// A file with other bytes at a place.
    private func changed(_ name: String, at place: Int, _ bytes: [UInt8]) throws -> [UInt8] {
        var file = try fixture(name)
        file.replaceSubrange(place..<place + bytes.count, with: bytes)
        return file
    }

    /// The processor time of this thread, which other tests do not add to.
    private func processorSeconds(_ body: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
        }
        let start = now()
        try body()
        return now() - start
    }

    /// Where the precision of a JPEG stands, with height and width behind it: in the segment 0xFFC0 or 0xFFC2.
    private func frame(of jpeg: [UInt8]) throws -> Int {
        try #require(jpeg.indices.dropLast(9).first { jpeg[$0] == 0xFF && [0xC0, 0xC2].contains(jpeg[$0 + 1]) }) + 4
    }

    @Test func unknownFormats() throws {
        let text = try error(Array("hello".utf8))
        #expect((text.code, text.message) == ("picture.unknown_format", "the bytes are no JPEG, PNG or WebP picture"))
        #expect(try error([]).code == "picture.unknown_format")
        #expect(text.file == nil && text.severity == .badInput)
    }

    /// Every prefix of every file, so no picture has rows that are not in the file.
    @Test func filesThatEndTooEarly() throws {
        for row in try rows(of: "decoded.tsv") {
            let file = try fixture(row[0])
            for count in 12..<file.count {
                let error = try error(Array(file[..<count]))
                #expect(error.kind == .truncated, "\(row[0]) cut at \(count): \(error.code) \(error.message)")
            }
        }
    }

    @Test func damagedFiles() throws {
        var png = try fixture("rgb8.png")
        png[png.count - 20] ^= 1
        let sum = try error(png)
        #expect(sum.code == "picture.damaged")
        #expect(sum.message.hasPrefix("PNG: "), "\(sum.message)")

        // The deflated rows begin behind 8 bytes of signature, 25 of header, and 8 of length and name.
        #expect(try error(resealed(changed("rgb8.png", at: 41, [0xFF]))).code == "picture.damaged")

        // libjpeg warns only, and goes on with grey blocks: a marker amid the coded blocks.
        let jpeg = try fixture("444.jpg")
        let blocks = try error(try changed("444.jpg", at: jpeg.count - 40, [0xFF, 0xD9]))
        #expect(blocks.code == "picture.damaged")
        #expect(blocks.message == "JPEG: Corrupt JPEG data: premature end of data segment")

        // The signature of a lossless picture, behind RIFF's header and its chunk's.
        #expect(try error(changed("lossless.webp", at: 20, [0])).code == "picture.damaged")
        // A frame at (200, 200) of a canvas of 13 x 9.
        let frame = try fixture("small-frame.webp")
        let place = try #require(frame.indices.first { frame[$0...].starts(with: "ANMF".utf8) }) + 8
        #expect(try error(changed("small-frame.webp", at: place, [100, 0, 0, 100])).code == "picture.damaged")
    }

    /// What cameras and editors leave behind changes no pixel: bytes before a marker, and behind the end.
    @Test func harmlessRemainsAreNoDamage() throws {
        let jpeg = try fixture("444.jpg")
        let expected = try decode(jpeg).pixels
        for more in [jpeg.dropLast(2) + [1, 2, 3, 0xFF, 0xD9], jpeg + [1, 2, 3]] {
            let isSame = try decode(Array(more)).pixels == expected
            #expect(isSame)
        }
        let png = try fixture("rgb8.png")
        let isSame = try decode(png + [1, 2, 3]).pixels == decode(png).pixels
        #expect(isSame)
    }

    /// The header alone decides; the bytes behind it are those of a small picture.
    @Test func decompressionBombs() throws {
        let large: [UInt8] = [0x75, 0x30]  // 30,000
        let png = resealed(try changed("rgb8.png", at: 16, [0, 0] + large + [0, 0] + large))
        let jpeg = try fixture("444.jpg")
        let canvas: [UInt8] = [0x2F, 0x75, 0, 0x2F, 0x75, 0]
        let files = [
            png, try changed("444.jpg", at: frame(of: jpeg) + 1, large + large),
            try changed("small-frame.webp", at: 24, canvas),
        ]
        let seconds = try processorSeconds {
            for bytes in files {
                let error = try error(bytes)
                #expect(error.code == "picture.too_large")
                #expect(error.message == "the picture has 30000 x 30000 pixels, more than 178956970")
            }
        }
        #expect(seconds < 0.1)
        // One row of 0x0AAA_AAAA = 178,956,970 pixels is no more than is allowed, but would be decoded as a whole.
        let row = try error(resealed(changed("rgb8.png", at: 16, [0x0A, 0xAA, 0xAA, 0xAA, 0, 0, 0, 1])))
        #expect(row.code == "picture.too_large")
        #expect(row.message == "the picture has 178956970 x 1 pixels, and an edge may have 1000000")
        // 13 x 9 pixels.
        #expect(try error(jpeg, maxPixelCount: 116).code == "picture.too_large")
        #expect(try decode(jpeg, maxPixelCount: 117).width == 13)
    }

    /// Memory that a header announces is touched only where the file has rows for it, which would take a quarter of a second here.
    @Test func largeHeadersWithoutRows() throws {
        let png = resealed(try changed("rgb8.png", at: 16, [0, 0, 0x30, 0, 0, 0, 0x30, 0]))
        let jpeg = try fixture("progressive.jpg")
        let tall = try changed("progressive.jpg", at: frame(of: jpeg) + 1, [0x30, 0, 0x30, 0])
        // 12,288 squared is 453 MB of RGB.
        let seconds = try processorSeconds {
            for bytes in [png, tall] {
                let error = try error(bytes)
                #expect(error.kind != .tooLarge)
            }
        }
        #expect(seconds < 0.1)
    }

    @Test func formsThatTheLibrariesDoNotDecode() throws {
        let jpeg = try fixture("444.jpg")
        let deep = try error(changed("444.jpg", at: frame(of: jpeg), [12]))
        #expect((deep.code, deep.message) == ("picture.unsupported", "JPEG: Unsupported JPEG data precision 12"))
        // SOF3 is a lossless JPEG.
        #expect(try error(changed("444.jpg", at: frame(of: jpeg) - 3, [0xC3])).code == "picture.unsupported")
    }
}
