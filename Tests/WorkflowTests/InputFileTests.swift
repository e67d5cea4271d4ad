import Checkpoints
import Experts
import Networks
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Transcoding

@Suite struct InputFileTests {
    private let folder = TemporaryFolder()
    /// Two channels of 2x3 pixels.
    private let shape = ImageShape(channels: 2, height: 2, width: 3)

    private func images(
        _ tensors: [TestTensor], shape: ImageShape? = nil, normalization: ImageNormalization = .unit
    ) throws -> ImageFile {
        try ImageFile(
            try folder.checkpoint("data.npz", tensors), of: shape ?? self.shape, normalization: normalization)
    }

    /// (x · 0.5 − mean) / std with mean 1, 2 and std 2, 4 for the two channels, worked out by hand.
    @Test func normalisesEightBitPixelsPerChannel() throws {
        var normalization = ImageNormalization.unit
        normalization.rescaleFactor = [0.5]
        normalization.mean = [1, 2]
        normalization.std = [2, 4]
        let pixels: [UInt8] = [0, 2, 4, 6, 8, 10, 0, 4, 8, 12, 16, 255]
        let file = try images([TestTensor("images", .u8, [1, 2, 2, 3], pixels)], normalization: normalization)
        #expect(file.images.values == [-0.5, 0, 0.5, 1, 1.5, 2, -0.5, 0, 0.5, 1, 1.5, 31.375])
        #expect(file.labels == nil)
    }

    @Test func dividesBy255WhenNothingIsSaid() throws {
        let file = try images([TestTensor("images", .u8, [1, 2, 2, 3], [0, 255, 51] + Array(repeating: 0, count: 9))])
        #expect(zip(file.images.values, [0, 1, 0.2] as [Float]).allSatisfy { abs($0 - $1) < 1e-7 })
    }

    @Test func takesFloatingPointAsItIs() throws {
        let values = (0..<12).map { Float($0) - 6 }
        var normalization = ImageNormalization.unit
        normalization.mean = [100]
        let file = try images([TestTensor("images", [1, 2, 2, 3], values)], normalization: normalization)
        #expect(file.images.values == values)
    }

    @Test func takesImagesWithoutChannels() throws {
        let grey = ImageShape(channels: 1, height: 2, width: 3)
        let tensors = [
            TestTensor("images", .u8, [2, 2, 3], Array(repeating: 255, count: 12)),
            TestTensor("labels", .i16, [2], [3, 0, 0, 1]),
        ]
        let file = try images(tensors, shape: grey)
        #expect(file.images.count == 2)
        #expect(file.images.values == Array(repeating: 1, count: 12))
        #expect(file.labels == [3, 256])
        #expect(code { _ = try images(tensors) } == "input.bad_shape")
    }

    @Test(
        arguments: [
            ([], "input.missing_tensor"),
            ([TestTensor("image", .u8, [1, 2, 2, 3], Array(repeating: 0, count: 12))], "input.missing_tensor"),
            ([TestTensor("images", .u8, [], [0])], "input.bad_shape"),
            ([TestTensor("images", .u8, [0, 2, 2, 3], [])], "input.bad_shape"),
            ([TestTensor("images", .u8, [1, 12], Array(repeating: 0, count: 12))], "input.bad_shape"),
            ([TestTensor("images", .u8, [1, 2, 3, 2], Array(repeating: 0, count: 12))], "input.bad_shape"),
            ([TestTensor("images", .i16, [1, 2, 2, 3], Array(repeating: 0, count: 24))], "input.bad_dtype"),
            ([TestTensor("images", [1, 2, 2, 3], Array(repeating: .infinity, count: 12))], "input.bad_value"),
            (
                [
                    TestTensor("images", [1, 2, 2, 3], Array(repeating: 0, count: 12)),
                    TestTensor("labels", .u8, [2], [0, 1]),
                ], "input.bad_shape"
            ),
            (
                [
                    TestTensor("images", [1, 2, 2, 3], Array(repeating: 0, count: 12)), TestTensor("labels", [1], [0]),
                ], "input.bad_dtype"
            ),
            (
                [
                    TestTensor("images", [1, 2, 2, 3], Array(repeating: 0, count: 12)),
                    TestTensor("labels", .u64, [1], Array(repeating: 255, count: 8)),
                ], "input.bad_value"
            ),
        ] as [([TestTensor], String)]) func saysWhatIsWrongWithData(tensors: [TestTensor], expected: String) throws
    {
        // An npz without arrays is no file that anybody has; safetensors can be empty.
        let path = try folder.checkpoint("data.safetensors", tensors)
        let found = code { _ = try ImageFile(path, of: shape, normalization: .unit) }
        #expect(found == expected)
    }

    @Test func countsNumbersOfImagesAndHeadsThatAreNone() throws {
        var pixels = [Float](repeating: 0, count: 24)
        (pixels[13], pixels[20], pixels[23]) = (.nan, -.infinity, .nan)
        let found = try #require(throws: InputError.self) {
            _ = try images([TestTensor("images", [2, 2, 2, 3], pixels)])
        }
        #expect(found.message == "\"images\" holds 2 NaN and 1 infinity, the first in image 1")
        for (tensors, message) in [
            ([TestTensor("weight", [1, 2], [1, .infinity])], "\"weight\" holds 1 infinity, the first at position 1"),
            (
                [TestTensor("weight", [2, 1], [1, 2]), TestTensor("bias", [2], [.nan, .nan])],
                "\"bias\" holds 2 NaN, the first at position 0"
            ),
            (
                [TestTensor("weight", [1, 1], [1]), TestTensor("normalize", [], [.nan])],
                "\"normalize\" holds 1 NaN, the first at position 0"
            ),
        ] {
            let error = try #require(throws: InputError.self) { _ = try head(tensors) }
            #expect(error.code == "input.bad_value" && error.message == message)
            #expect(error.tensor != nil && error.file == folder.file("head.safetensors").string)
        }
    }

    @Test func hintsAtChannelsThatComeLast() throws {
        let error = try #require(throws: InputError.self) {
            _ = try images([TestTensor("images", .u8, [1, 2, 3, 2], Array(repeating: 0, count: 12))])
        }
        #expect(error.hint == "channels come before height and width")
    }

    // MARK: What is no data

    /// The first bytes of files as other programs write them.
    @Test(
        arguments: [
            ("a.png", [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], "a PNG image"),
            ("photo", [0xFF, 0xD8, 0xFF, 0xE0, 0, 0x10], "a JPEG image"),
            ("a.webp", Array("RIFF\u{1}\u{1}\u{1}\u{1}WEBP".utf8), "a WebP image"),
            ("a.tar", Array(repeating: 0, count: 257) + Array("ustar\0".utf8), "a tar archive"),
            ("a.tgz", [0x1F, 0x8B, 8, 0], "a gzip file"), ("a.parquet", Array("PAR1\u{15}".utf8), "a Parquet file"),
            ("list.csv", Array("cat.png 0\ndog.png 1\n".utf8), "a text file"),
            // A local header of a zip, whose first member is named x.png.
            (
                "a.zip",
                Array("PK\u{3}\u{4}".utf8) + Array(repeating: 0, count: 22) + [5, 0, 0, 0] + Array("x.png".utf8),
                "a zip archive of pictures"
            ),
        ] as [(String, [UInt8], String)])
    func namesWhatIsGivenAsData(name: String, bytes: [UInt8], text: String) throws {
        let path = try folder.write(bytes, to: name)
        let error = try #require(throws: FormatError.self) {
            _ = try ImageFile(path, of: shape, normalization: .unit)
        }
        #expect(error.code == "format.unknown_format")
        #expect(error.message == "\(path.string) is \(text), which is not read as data")
        #expect(error.hint?.contains("docs/data.md") == true)
    }

    /// A folder that holds one data file stands for it.
    @Test func takesTheDataFileOfAFolder() throws {
        try folder.makeFolder("data")
        try folder.checkpoint(
            "data/data.npz", [TestTensor("images", .u8, [1, 2, 2, 3], Array(repeating: 0, count: 12))])
        #expect(try ImageFile(folder.file("data"), of: shape, normalization: .unit).images.count == 1)
    }

    @Test func saysWhatAFileHoldsInsteadOfImages() throws {
        func error(_ tensors: [TestTensor]) throws -> InputError {
            try #require(throws: InputError.self) { _ = try images(tensors) }
        }
        let head = try error([weight])
        #expect(head.message.contains("data.npz holds a head, and data needs \"images\""))
        #expect(head.hint?.contains("swapped") == true)
        #expect(
            try error(try tensors(of: Fixtures.path("suites/tiny/base.safetensors"))).message.contains("a whole model"))
        // Under another name: the rename of the hint.
        let other = try error([TestTensor("x_test", .u8, [1, 2, 2, 3], Array(repeating: 0, count: 12))])
        #expect(other.hint?.hasSuffix("data.npz --rename '^x_test$=>images'`") == true)
        #expect(try error([TestTensor("image", .u8, [3], [1, 2, 3])]).hint == "did you mean \"image\"?")
    }

    // MARK: The range of floating-point images

    private func warnings(_ values: [Float], _ dtype: DType = .f32) throws -> [String] {
        let bytes: [UInt8] =
            dtype == .f64
            ? values.map(Double.init).withUnsafeBytes(Array.init) : values.withUnsafeBytes(Array.init)
        return try images([TestTensor("images", dtype, [1, 2, 2, 3], bytes)]).warnings.map(\.text)
    }

    @Test(arguments: [DType.f32, .f64]) func warnsOfPixelsStoredAsFloats(dtype: DType) throws {
        // Mean of 0, 23, ..., 253: 126.5.
        let found = try warnings((0..<12).map { Float($0 * 23) }, dtype)
        #expect(found.count == 1)
        #expect(found.first?.contains("data.npz has values from 0 to 253, mean 126.5, all whole") == true)
        #expect(found.first?.contains("store them as uint8") == true)
        // A dark picture.
        #expect(try warnings([0, 9] + Array(repeating: 1, count: 10), dtype).first?.contains("8-bit values") == true)
    }

    @Test func warnsOfValuesFarFromNormalisedOnes() throws {
        for values: [Float] in [
            // Resized pixels; pixels less a mean; pixels whose scale was forgotten; a mean far off.
            (0..<12).map { Float($0) * 23.05 }, (0..<12).map { Float($0 * 23) - 123.5 },
            (0..<12).map { (Float($0 * 23) - 0.485) / 0.229 }, Array(repeating: 5.5, count: 12),
        ] {
            let found = try warnings(values)
            #expect(found.count == 1)
            #expect(found.first?.contains("far outside of what normalised inputs have") == true)
        }
    }

    @Test func doesNotWarnOfWhatMayBeNormalised() throws {
        for values: [Float] in [
            // Of ImageNet's constants; 0 to 1; -1 to 1; black and white; standardised one by one.
            (0..<12).map { (Float($0) / 11 - 0.485) / 0.229 }, (0..<12).map { Float($0) / 11 },
            (0..<12).map { Float($0) / 5.5 - 1 }, (0..<12).map { Float($0 % 2) },
            [20] + Array(repeating: -0.5, count: 11),
        ] {
            #expect(try warnings(values) == [])
        }
        // 8-bit images are normalised, with a configuration that says how or without.
        #expect(try images([TestTensor("images", .u8, [1, 2, 2, 3], Array(repeating: 255, count: 12))]).warnings == [])
    }

    @Test func hintsAtTheTypeOfPixels() throws {
        let error = try #require(throws: InputError.self) {
            _ = try images([TestTensor("images", .i16, [1, 2, 2, 3], Array(repeating: 0, count: 24))])
        }
        #expect(error.code == "input.bad_dtype")
        #expect(error.hint == "store 8-bit pixels as uint8: images.astype(np.uint8)")
    }

    // MARK: Heads

    private let weight = TestTensor("weight", [2, 3], [1, 2, 3, 4, 5, 6])

    private func head(_ tensors: [TestTensor]) throws -> ClassificationHead {
        try HeadFile.load(try folder.checkpoint("head.safetensors", tensors), name: "x")
    }

    @Test func readsHeads() throws {
        let plain = try head([weight])
        #expect(plain.weight == [1, 2, 3, 4, 5, 6])
        #expect(plain.bias == [0, 0])
        #expect((plain.classCount, plain.width) == (2, 3))
        #expect((plain.logitScale, plain.normalizesFeature) == (1, false))
        let clip = try head([
            weight, TestTensor("bias", [2], [7, 8]), TestTensor("logit_scale", [], [100]),
            TestTensor("normalize", .bool, [1], [1]),
        ])
        #expect(clip.bias == [7, 8])
        #expect((clip.logitScale, clip.normalizesFeature) == (100, true))
        #expect(
            try head([weight, TestTensor("normalize", .i64, [], [0, 0, 0, 0, 0, 0, 0, 0])]).normalizesFeature == false)
    }

    @Test(
        arguments: [
            ([TestTensor("bias", [2], [1, 2])], "input.missing_tensor"),
            ([TestTensor("weight", [6], [1, 2, 3, 4, 5, 6])], "input.bad_shape"),
            ([TestTensor("weight", .i32, [1, 1], [0, 0, 0, 0])], "input.bad_dtype"),
            ([TestTensor("weight", [0, 3], [])], "input.bad_shape"),
            ([TestTensor("weight", [3, 0], [])], "input.bad_shape"),
            ([TestTensor("weight", [1, 1], [.nan])], "input.bad_value"),
            ([TestTensor("weight", [1, 2], [1, 2]), TestTensor("bias", [2], [1, 2])], "input.bad_shape"),
            ([TestTensor("weight", [1, 1], [1]), TestTensor("bias", [1, 1], [1])], "input.bad_shape"),
            ([TestTensor("weight", [1, 1], [1]), TestTensor("logit_scale", [2], [1, 2])], "input.bad_shape"),
            ([TestTensor("weight", [1, 1], [1]), TestTensor("logit_scale", [], [.infinity])], "input.bad_value"),
            ([TestTensor("weight", [1, 1], [1]), TestTensor("normalize", [0], [])], "input.bad_shape"),
            ([TestTensor("weight", [1, 1], [1]), TestTensor("normalize", .f8E4M3, [], [1])], "input.bad_dtype"),
        ] as [([TestTensor], String)]) func saysWhatIsWrongWithAHead(tensors: [TestTensor], expected: String) throws
    {
        let error = try #require(throws: InputError.self) { _ = try head(tensors) }
        #expect(error.code == expected)
        #expect(error.file == folder.file("head.safetensors").string)
        #expect(error.tensor == (expected == "input.missing_tensor" ? "weight" : tensors.last?.name.text))
    }

    @Test func saysWhereTheHeadOfAModelIs() throws {
        let base = try tensors(of: Fixtures.path("suites/tiny/base.safetensors"))
        func error(_ tensors: [TestTensor]) throws -> InputError {
            try #require(throws: InputError.self) { _ = try head(tensors) }
        }
        let model = try error(base)
        #expect(model.code == "input.missing_tensor")
        #expect(model.message.contains("head.safetensors holds a whole model (timm's ViT), and a head is needed"))
        #expect(model.hint?.contains("swapped") == true)
        let data = try error([TestTensor("images", .u8, [1, 2, 2], [0, 0, 0, 0])])
        #expect(data.message.contains("holds images, and a head is needed"))
        for module in ["classifier", "heads.head"] {
            let error = try error(base + [TestTensor(TensorName(module + ".weight"), [2, 3], [1, 2, 3, 4, 5, 6])])
            let parts = try #require(error.hint).split(separator: "'")
            #expect(parts.contains(Substring("\(module).*")))
            let store = try TensorStore(opening: folder.file("head.safetensors"))
            let options = ConversionOptions(
                selection: TensorSelection(only: ["\(module).*"]),
                renames: [try TensorRename(String(try #require(parts.first { $0.contains("=>") })))])
            let plan = try ConversionPlan(
                of: store, to: try .test(folder.file("\(module).safetensors")), options: options)
            _ = try Conversion(plan, of: store).run(in: testContext)
            let taken = try HeadFile.load(folder.file("\(module).safetensors"), name: "x")
            #expect(taken.weight == [1, 2, 3, 4, 5, 6])
        }
    }

    // MARK: Tasks

    @Test func checksHeadsAndLabelsAgainstEachOther() throws {
        let suite = try PipelineSuite("tiny")
        let backbone = try Backbone(of: TensorStore(opening: suite.base))
        #expect(
            code { _ = try backbone.taskHead(try folder.checkpoint("h.npz", [weight]), name: "x") } == "input.bad_shape"
        )
        let task = try backbone.taskHead(suite.path("heads_digits.safetensors"), name: "digits")
        #expect(
            code { _ = try backbone.taskData(suite.path("test_digits.npz"), task: nil, name: "x", in: testContext) }
                == "input.missing_head")
        for label in [10, 255] as [UInt8] {
            let path = try folder.checkpoint(
                "data.npz",
                [
                    TestTensor("images", .u8, [2, 28, 28], Array(repeating: 0, count: 2 * 784)),
                    TestTensor("labels", .u8, [2], [9, label]),
                ])
            let error = try #require(throws: InputError.self) {
                _ = try backbone.taskData(path, task: task, name: "digits", in: testContext)
            }
            #expect(error.code == "input.bad_value")
            #expect(error.message.hasPrefix("\"labels\" has the value \(label) at image 1"))
            #expect(error.file == path.string)
        }
    }
}
