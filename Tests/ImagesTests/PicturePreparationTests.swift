import Checkpoints
import Images
import TensorCore
import TestSupport
import Testing

/// Resizing and cropping against Pillow and the models' own processors.
@Suite struct PicturePreparationTests {
    @Test func resizesAsPillow() throws {
        for row in try rows(of: "resized.tsv") {
            let numbers = row[..<4].compactMap { Int($0) }
            let picture = photo(numbers[0], numbers[1])
            for (channels, sum) in [(1, row[5]), (3, row[6])] {
                let preparation = PicturePreparation(
                    channels: channels, resize: .exact(height: numbers[3], width: numbers[2]),
                    interpolation: try #require(Interpolation(rawValue: row[4])))
                #expect(checksum(apply(preparation, to: picture)) == sum, "\(row)")
            }
        }
    }

    /// By the names that `make_fixtures.py` has.
    private static let ways: [String: PicturePreparation] = {
        typealias Crop = PicturePreparation.Crop
        let square = Crop(height: 224, width: 224)
        let down = Crop(height: 224, width: 224, rounding: .down)
        func evaluation(
            _ resize: PicturePreparation.Resize, _ crop: Crop, _ interpolation: Interpolation = .bicubic
        ) -> PicturePreparation {
            PicturePreparation(resize: resize, interpolation: interpolation, crop: crop)
        }
        return [
            "CLIP": PicturePreparation(resize: .shortestEdge(224), crop: down),
            "ViT": PicturePreparation(resize: .exact(height: 224, width: 224), interpolation: .bilinear),
            "DINOv2": PicturePreparation(resize: .shortestEdge(256), crop: down),
            "SigLIP": PicturePreparation(resize: .exact(height: 224, width: 224)),
            "DeiT": PicturePreparation(resize: .exact(height: 256, width: 256), crop: down),
            // floor(224 / 0.9), floor(224 / 0.875), floor of 192 and 160 by 0.95.
            "timm center": evaluation(.shortestEdge(248), square),
            "timm default": evaluation(.shortestEdge(256), square),
            "timm center 192 x 160": evaluation(
                .covering(height: 202, width: 168), Crop(height: 192, width: 160), .bilinear),
            "timm squash": evaluation(.exact(height: 235, width: 235), square),
            // 255 times the mean of ImageNet: 123.675, 116.28, 103.53.
            "timm border": evaluation(
                .within(height: 225, width: 224), Crop(height: 225, width: 224, fill: [124, 116, 104])),
            "OpenCLIP shortest": evaluation(.shortestEdge(224), square),
            "OpenCLIP shortest 96 x 130": evaluation(.covering(height: 96, width: 130), Crop(height: 96, width: 130)),
            "OpenCLIP longest": evaluation(
                .within(height: 224, width: 224), Crop(height: 224, width: 224, fill: [7]), .bilinear),
            "OpenCLIP squash": evaluation(.exact(height: 224, width: 224), square),
            "torchvision padding": PicturePreparation(
                resize: .none, crop: Crop(height: 301, width: 650, rounding: .down)),
        ]
    }()

    @Test func preparesAsTheLibraries() throws {
        let rows = try rows(of: "prepared.tsv")
        #expect(Set(rows.map(\.[0])) == Set(Self.ways.keys))
        for row in rows {
            let (width, height) = (try #require(Int(row[1])), try #require(Int(row[2])))
            let preparation = try #require(Self.ways[row[0]])
            #expect(checksum(apply(preparation, to: photo(width, height))) == row[3], "\(row)")
        }
    }

    /// transformers' default works on tensors, whose weights are rounded in another way: one grey level in 99 of 100 bytes.
    @Test func isCloseToProcessorsOnTensors() throws {
        let store = try TensorStore(opening: Fixtures.path("images/fast.npy"))
        let expected = try store.reader.bytes(of: 0).withUnsafeBytes(Array.init)
        let crop = PicturePreparation.Crop(height: 14, width: 14, rounding: .down)
        let ways = [
            PicturePreparation(resize: .shortestEdge(16), crop: crop),
            PicturePreparation(resize: .shortestEdge(16), crop: crop),
            PicturePreparation(resize: .exact(height: 14, width: 14), interpolation: .bilinear),
            PicturePreparation(resize: .exact(height: 14, width: 14)),
            PicturePreparation(resize: .exact(height: 16, width: 16), crop: crop),
        ]
        let results = ways.flatMap { way in [photo(500, 375), photo(97, 131)].map { apply(way, to: $0) } }
        #expect(results.count * 3 * 14 * 14 == expected.count)
        for (number, result) in results.enumerated() {
            let part = expected[number * result.count..<(number + 1) * result.count]
            let far = zip(result, part).count { abs(Int($0) - Int($1)) > 1 }
            #expect(far * 100 <= result.count, "\(number): \(far) of \(result.count)")
        }
    }

    /// A grey picture comes back as its own bytes, by weights that add up to 1.
    @Test func greyStaysGrey() {
        let bytes = (0...255).map { UInt8($0) }
        let picture = Picture(width: 16, height: 16, pixels: bytes.flatMap { [$0, $0, $0] })
        let preparation = PicturePreparation(
            channels: 1, resize: .shortestEdge(16), crop: .init(height: 16, width: 16))
        #expect(apply(preparation, to: picture) == bytes)
    }

    @Test(arguments: [PicturePreparation.Resize.none, .shortestEdge(9), .exact(height: 9, width: 13)])
    func whatHasTheSizeStays(resize: PicturePreparation.Resize) {
        let picture = photo(13, 9)
        let preparation = PicturePreparation(
            resize: resize, interpolation: .lanczos, crop: .init(height: 9, width: 13))
        let planes = (0..<3).flatMap { c in stride(from: c, to: picture.pixels.count, by: 3).map { picture.pixels[$0] }
        }
        let isSame = apply(preparation, to: picture) == planes
        #expect(isSame)
    }

    /// The resized whole would have 1.7 million columns, and only the middle is made.
    @Test func aVeryWidePictureIsCropped() throws {
        let wide = try decode(try fixture("wide.png"))
        #expect((wide.width, wide.height) == (30_000, 4))
        for interpolation in Interpolation.allCases {
            let preparation = PicturePreparation(
                channels: 1, resize: .shortestEdge(224), interpolation: interpolation,
                crop: .init(height: 224, width: 224))
            let result = apply(preparation, to: wide)
            // Black and white.
            #expect(result.allSatisfy { $0 == 0 || $0 == 255 } || interpolation != .nearest)
        }
    }

    @Test func theSizeOfTheResultIsKnownWhereItIsFixed() {
        #expect(PicturePreparation(resize: .shortestEdge(8)).resultSize == nil)
        #expect(PicturePreparation(resize: .none).resultSize == nil)
        #expect(PicturePreparation(resize: .exact(height: 3, width: 2)).resultSize ?? (0, 0) == (3, 2))
        let crop = PicturePreparation(resize: .none, crop: .init(height: 5, width: 4))
        #expect(crop.resultSize ?? (0, 0) == (5, 4))
    }
}
