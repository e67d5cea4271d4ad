import Kernels
import Checkpoints
import Synchronization
import SystemPackage
import TensorCore
import Work
import Testing
import TestSupport
import Transcoding

@Suite struct ConversionTests {
    private let folder = TemporaryFolder()

    /// Writes a safetensors file from names, types, shapes and bytes.
    private func make(
        _ file: String, _ tensors: [(String, DType, Shape, [UInt8])], metadata: [String: String] = [:]
    ) throws -> TensorStore {
        let descriptors = try tensors.map { try TensorDescriptor(name: TensorName($0.0), dtype: $0.1, shape: $0.2) }
        var entries = Metadata()
        for (key, value) in metadata { entries[key] = value }
        let writer = try SafetensorsWriter(
            creating: folder.file(file), declaring: descriptors, metadata: entries,
            options: WriteOptions(force: true, sync: false))
        for (index, tensor) in tensors.enumerated() {
            try tensor.3.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
        }
        _ = try writer.finish()
        return try TensorStore(opening: folder.file(file))
    }

    @discardableResult
    private func convert(
        _ store: TensorStore, to name: String, threads: Int = 2, force: Bool = false,
        _ options: ConversionOptions = ConversionOptions()
    ) throws -> (report: ConversionReport, store: TensorStore) {
        let output = folder.file(name)
        let plan = try ConversionPlan(of: store, to: try .test(output, force: force), options: options)
        let report = try Conversion(plan, of: store).run(in: Context(budget: ComputeBudget(threads: threads)))
        return (report, try TensorStore(opening: output))
    }

    private func floats(_ values: [Float]) -> [UInt8] { values.withUnsafeBytes(Array.init) }

    private func bytes(_ store: TensorStore, _ name: TensorName) throws -> [UInt8] {
        try #require(try store.bytes(of: name)).withUnsafeBytes(Array.init)
    }

    // MARK: Copying

    /// The fixture was written by the safetensors library with every type; its layout is canonical.
    @Test(arguments: [1, 2, 5]) func aPlainCopyIsBitExact(threads: Int) throws {
        let source = try TensorStore(opening: Fixtures.path("safetensors/every_dtype.safetensors"))
        let (report, copy) = try convert(source, to: "copy.safetensors", threads: threads)
        let (written, original) = (try MappedFile(copy.path), try MappedFile(source.path))
        #expect(written.withUnsafeBytes(Array.init) == original.withUnsafeBytes(Array.init))
        #expect(report.tensorCount == 20)
        #expect(report.losses.isEmpty)
    }

    @Test func copiesTensorsOfSeveralChunks() throws {
        // 20 MB and a bit: two whole chunks and a part of one.
        let big = (0..<(20 << 20) + 3).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }
        let source = try make("in.safetensors", [("big", .u8, [big.count], big)])
        let progress = CountingProgress()
        let plan = try ConversionPlan(of: source, to: try .test(folder.file("out.safetensors")))
        _ = try Conversion(plan, of: source).run(in: Context(budget: ComputeBudget(threads: 2), progress: progress))
        #expect(progress.count == big.count)
        #expect(plan.sourceByteCount == big.count)
        #expect(try bytes(TensorStore(opening: folder.file("out.safetensors")), "big") == big)
    }

    @Test func theOutputMayBeTheInput() throws {
        let source = try make("x.safetensors", [("a", .f32, [2], floats([1, 2])), ("b", .u8, [1], [3])])
        let (_, result) = try convert(
            source, to: "x.safetensors", force: true, ConversionOptions(selection: TensorSelection(only: ["a"])))
        #expect(result.descriptors.map(\.name) == ["a"])
        #expect(try bytes(result, "a") == floats([1, 2]))
        // The mapping of the old file still holds the old bytes.
        #expect(try bytes(source, "b") == [3])
    }

    @Test func existingOutputsStay() throws {
        let source = try make("x.safetensors", [("a", .u8, [1], [3])])
        let error = #expect(throws: IOError.self) { try convert(source, to: "x.safetensors") }
        #expect(error?.code == "io.exists")
    }

    @Test func goesThroughNumPyAndBack() throws {
        let source = try make(
            "in.safetensors",
            [("w", .f32, [2, 2], floats([1, -0.0, .nan, .infinity])), ("i", .i64, [1], [1, 2, 3, 4, 5, 6, 7, 8])],
            metadata: ["format": "pt"])
        let (report, npz) = try convert(source, to: "x.npz")
        #expect(npz.reader.format == .npz)
        #expect(report.warnings.count == 1)
        let (_, back) = try convert(npz, to: "back.safetensors")
        for descriptor in source.descriptors {
            #expect(back.descriptor(named: descriptor.name) == descriptor)
            #expect(try bytes(back, descriptor.name) == bytes(source, descriptor.name))
        }
    }

    // MARK: Types

    /// F16 bit patterns by hand: 1 = 3C00, 65504 = 7BFF is the largest, 65520 rounds to infinity 7C00, infinity stays
    /// one, 2^-24 = 0001, and its half is a tie that goes to zero.
    @Test func castsFloatingTensorsAndCountsWhatIsLost() throws {
        let source = try make(
            "in.safetensors",
            [
                ("w", .f32, [7], floats([1, 65504, 65520, -1e30, .infinity, 0x1p-24, -0x1p-25])),
                ("n", .i32, [1], [1, 0, 0, 0]), ("fine", .f32, [2], floats([0, -2])),
            ])
        let (report, result) = try convert(source, to: "out.safetensors", ConversionOptions(dtype: .f16))
        let expected: [UInt16] = [0x3C00, 0x7BFF, 0x7C00, 0xFC00, 0x7C00, 0x0001, 0x8000]
        #expect(try bytes(result, "w") == expected.withUnsafeBytes(Array.init))
        #expect(result.descriptor(named: "w")?.dtype == .f16)
        #expect(result.descriptor(named: "n")?.dtype == .i32)
        #expect(report.losses.map(\.tensor) == ["w"])
        #expect(report.losses.map(\.losses) == [CastLosses(overflowCount: 2, underflowCount: 1)])
    }

    /// 464 is the tie above F8_E4M3's largest number, 448, and goes down; there is no infinity. 0.0009 is below half the smallest.
    @Test(arguments: [1, 2, 5]) func castsToEightBitsOnAnyThreads(threads: Int) throws {
        let pattern: [Float] = [1, -448, 464, 465, .infinity, 0.0009, 0]
        let count = (9 << 20) / pattern.count * pattern.count
        let source = try make(
            "in.safetensors", [("w", .f32, [count], floats((0..<count).map { pattern[$0 % pattern.count] }))])
        let (report, result) = try convert(
            source, to: "out.safetensors", threads: threads, ConversionOptions(dtype: .f8E4M3))
        let expected: [UInt8] = [0x38, 0xFE, 0x7E, 0x7F, 0x7F, 0, 0]
        let written = try bytes(result, "w")
        #expect(written.count == count && result.descriptor(named: "w")?.dtype == .f8E4M3)
        #expect(written.indices.first { written[$0] != expected[$0 % expected.count] } == nil)
        let repetitions = count / pattern.count
        #expect(
            report.losses.map(\.losses) == [CastLosses(overflowCount: 2 * repetitions, underflowCount: repetitions)])
        let (wide, back) = try convert(
            result, to: "back.safetensors", threads: threads, ConversionOptions(dtype: .bf16))
        #expect(wide.losses.isEmpty)
        #expect(try bytes(back, "w").prefix(4) == [0x80, 0x3F, 0xE0, 0xC3])
    }

    /// 2^53 + 1 is no number of F64. Complex numbers are told of by name: they are no integers, which nobody expects to be cast.
    @Test func integersAndComplexNumbersAreCarried() throws {
        let large = withUnsafeBytes(of: (1 << 53) + 1, Array.init)
        let source = try make(
            "in.safetensors",
            [
                ("i", .i64, [1], large), ("u", .u64, [1], [UInt8](repeating: 0xFF, count: 8)),
                ("c", .c64, [1], floats([1e-30, .nan])), ("w", .f64, [1], [0, 0, 0, 0, 0, 0, 0xF0, 0x3F]),
            ])
        let (report, result) = try convert(source, to: "out.safetensors", ConversionOptions(dtype: .f8E5M2))
        #expect(report.warnings.map(\.code) == ["convert.kept_type"])
        #expect(report.warnings.first?.text == "tensor \"c\" of dtype C64 cannot be cast and keeps its type")
        for name in ["i", "u", "c"] as [TensorName] {
            #expect(result.descriptor(named: name) == source.descriptor(named: name))
            #expect(try bytes(result, name) == bytes(source, name))
        }
        #expect(try bytes(result, "w") == [0x3C])
        #expect(report.losses.isEmpty)
    }

    /// The scales beside them make the codes what they are.
    @Test func codesWithScalesAreNotCast() throws {
        var options = ReadOptions()
        options.keepsParts = true
        let source = try TensorStore(
            opening: make(
                "in.safetensors",
                [("a.weight", .f8E4M3, [1, 2], [0x38, 0x38]), ("a.weight_scale", .f32, [1], floats([0.5]))]
            ).path, options: options)
        for dtype in [DType.f8E5M2, .bf16] {
            let error = #expect(throws: WeightsError.self) {
                try convert(source, to: "out.safetensors", ConversionOptions(dtype: dtype))
            }
            #expect(error?.code == "input.quantized")
        }
    }

    @Test func whatFillsNoBlocksIsSaidTo() throws {
        let source = try make("in.safetensors", [("w", .f8E4M3, [1, 12], [UInt8](repeating: 0x38, count: 12))])
        let error = #expect(throws: ConversionError.self) {
            try convert(source, to: "out.gguf", ConversionOptions(blocks: .q8_0))
        }
        #expect(error?.code == "convert.bad_shape" && error?.tensor == "w")
    }

    @Test(arguments: [1, 2, 5]) func castingDoesNotDependOnThreads(threads: Int) throws {
        let count = 5 << 20
        let values = (0..<count).map { Float($0 % 1000) * 0.001 }
        let source = try make("in.safetensors", [("w", .f32, [count], floats(values))])
        let (_, result) = try convert(source, to: "out.safetensors", threads: threads, ConversionOptions(dtype: .f64))
        let wide = try bytes(result, "w").withUnsafeBytes { Array($0.bindMemory(to: Double.self)) }
        #expect(wide == values.map(Double.init))
    }

    /// BF16 3F80 is 1; F8_E4M3 38 is 1 and 7E its largest, 448; F8_E5M2 BC is -1.
    @Test func upcastMakesNumPyTypesOfOthers() throws {
        let source = try make(
            "in.safetensors",
            [
                ("b", .bf16, [1], [0x80, 0x3F]), ("e4", .f8E4M3, [2], [0x38, 0x7E]), ("e5", .f8E5M2, [1], [0xBC]),
                ("h", .f16, [1], [0, 0x3C]),
            ])
        #expect(throws: FormatError.self) { try convert(source, to: "no.npz") }
        let (_, result) = try convert(source, to: "x.npz", ConversionOptions(upcast: true))
        #expect(try bytes(result, "b") == floats([1]))
        #expect(try bytes(result, "e4") == floats([1, 448]))
        #expect(try bytes(result, "e5") == floats([-1]))
        #expect(result.descriptor(named: "h")?.dtype == .f16)
    }

    @Test func subByteTensorsKeepTheirTypeWithAWarning() throws {
        let source = try make("in.safetensors", [("q", .f4, [2], [0x21])])
        let (report, result) = try convert(source, to: "out.safetensors", ConversionOptions(dtype: .f32))
        #expect(result.descriptor(named: "q")?.dtype == .f4)
        #expect(report.warnings.count == 1)
    }

    // MARK: Names and metadata

    @Test func selectsRenamesAndSetsMetadata() throws {
        let source = try make(
            "in.safetensors",
            [("model.layers.0.w", .u8, [1], [1]), ("model.layers.10.w", .u8, [1], [2]), ("head.w", .u8, [1], [3])],
            metadata: ["format": "pt", "by": "me"])
        let (_, result) = try convert(
            source, to: "out.safetensors",
            ConversionOptions(
                selection: TensorSelection(exclude: ["head.*"]),
                renames: try [TensorRename(#"^model\.=>"#), TensorRename(#"layers\.(\d+)=>block_${1}0"#)],
                metadata: [Metadata.Entry(key: "by", value: "you"), Metadata.Entry(key: "new", value: "")]))
        #expect(Set(result.descriptors.map(\.name)) == ["block_00.w", "block_100.w"])
        #expect(try bytes(result, "block_100.w") == [2])
        #expect(result.metadata["format"] == "pt")
        #expect(result.metadata["by"] == "you")
        #expect(result.metadata["new"] == "")
    }

    @Test func twoTensorsMayNotMeetInOneName() throws {
        let source = try make("in.safetensors", [("a.0", .u8, [1], [1]), ("a.1", .u8, [1], [2])])
        let error = #expect(throws: ConversionError.self) {
            try convert(source, to: "out.safetensors", ConversionOptions(renames: [TensorRename(#"\.\d=>"#)]))
        }
        #expect(error?.code == "convert.duplicate_name")
        #expect(error?.message == #""a.0" and "a.1" would both be named "a""#)
    }

    @Test func shardsOnRequest() throws {
        let source = try make("in.safetensors", [("a", .u8, [4], [1, 2, 3, 4]), ("b", .u8, [4], [5, 6, 7, 8])])
        let plan = try ConversionPlan(of: source, to: try .test(folder.file("s.safetensors"), shards: 4))
        #expect(try Conversion(plan, of: source).run(in: testContext).written.files.count == 3)
        let sharded = try TensorStore(opening: folder.file("s.safetensors.index.json"))
        #expect(try bytes(sharded, "b") == [5, 6, 7, 8])
    }

    @Test func saysWhatMakesNoSense() throws {
        let source = try make("in.safetensors", [("a", .u8, [1], [1])])
        func code(
            _ output: String, format: FormatID? = nil, shards: Int? = nil,
            _ options: ConversionOptions = ConversionOptions()
        ) -> String? {
            do {
                let target = try OutputTarget.test(folder.file(output), format: format, shards: shards)
                _ = try ConversionPlan(of: source, to: target, options: options)
                return nil
            } catch { return (error as? any Diagnostic)?.code }
        }
        #expect(code("out.xyz") == "usage.output_format")
        #expect(code("out.xyz", format: .npz) == nil)
        for dtype in [DType.i32, .c64, .u64, .f8E8M0, .f8E4M3FNUZ, .f4, .bool] {
            #expect(code("out.safetensors", ConversionOptions(dtype: dtype)) == "usage.dtype")
        }
        #expect(code("out.npz", shards: 1) == "usage.shard_size")
        #expect(
            code("out.safetensors", ConversionOptions(selection: TensorSelection(only: ["b"])))
                == "convert.nothing_selected")
    }
}
