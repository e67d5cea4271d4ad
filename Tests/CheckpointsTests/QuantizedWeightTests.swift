import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// What codes and scales stand for, against the libraries that store them: `Fixtures/quantized/digests.py` makes the same parts and
/// prints the digests.
@Suite struct QuantizedWeightTests {
    struct Part: Sendable {
        let leaf: String
        let dtype: DType
        let shape: [Int]
        let bytes: [UInt8]

        init(_ leaf: String, _ dtype: DType, _ shape: [Int], _ make: (Int) -> [UInt8]) {
            (self.leaf, self.dtype, self.shape) = (leaf, dtype, shape)
            bytes = make(shape.reduce(1, *))
        }
    }

    struct Layout: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let parts: [Part]
        let leaf: String
        let shape: [Int]
        let digest: String
        var settings = ""
    }

    // MARK: - The bytes of the script

    private static func raw(_ seed: UInt32, _ count: Int) -> [UInt8] {
        (0..<count).map { place in
            let x = UInt32(place) &* 2_654_435_761 &+ seed &* 40503 &+ 12345
            return UInt8(truncatingIfNeeded: (x ^ x >> 13) >> 8)
        }
    }

    private static func codes(_ seed: UInt32, _ width: Int = 1) -> (Int) -> [UInt8] { { raw(seed, $0 * width) } }

    private static func fp8(_ seed: UInt32, nan: [UInt8] = [0x7F, 0xFF]) -> (Int) -> [UInt8] {
        { raw(seed, $0).map { nan.contains($0) ? 0 : $0 } }
    }

    private static func scales(_ seed: UInt32, _ dtype: DType = .f32, times factor: Float = 1) -> (Int) -> [UInt8] {
        { count in
            raw(seed, count).flatMap { byte -> [UInt8] in
                let number = (1 + Float(byte)) / 256 * factor
                return switch dtype {
                case .f16: withUnsafeBytes(of: Float16(number).bitPattern.littleEndian, Array.init)
                case .bf16: withUnsafeBytes(of: UInt16(number.bitPattern >> 16).littleEndian, Array.init)
                default: withUnsafeBytes(of: number.bitPattern.littleEndian, Array.init)
                }
            }
        }
    }

    private static func powers(_ seed: UInt32) -> (Int) -> [UInt8] { { raw(seed, $0).map { 119 + $0 % 16 } } }

    private static func integers<T: FixedWidthInteger>(_ numbers: [T]) -> (Int) -> [UInt8] {
        { _ in numbers.flatMap { withUnsafeBytes(of: $0.littleEndian, Array.init) } }
    }

    private static let specials: [UInt8] = [0x7C, 0x7D, 0x7E, 0x7F, 0xFC, 0xFD, 0xFE, 0xFF]
    private static let groups = #"{"group_0": {"weights": {"num_bits": 4, "group_size": 4}}}"#

    static let layouts = [
        Layout(
            testDescription: "fp8_blocks",
            parts: [
                Part("weight", .f8E4M3, [10, 12], fp8(1)), Part("weight_scale_inv", .f32, [3, 3], scales(2)),
            ], leaf: "weight", shape: [10, 12],
            digest: "818f93005862223110720b868d4e35f66d6528d51fa61ae46d6a993631095021",
            settings: #""quant_method": "fp8", "weight_block_size": [4, 5]"#),
        Layout(
            testDescription: "fp8_whole_blocks",
            parts: [Part("weight", .f8E4M3, [8, 12], fp8(3)), Part("weight_scale_inv", .f32, [2, 3], scales(4))],
            leaf: "weight", shape: [8, 12], digest: "d72324f1be4f8ed607efca1d8eff48a5fc65d0b55221f2cba230bbdbab70f021",
            settings: #""quant_method": "fp8", "weight_block_size": [4, 4]"#),
        Layout(
            testDescription: "fp8_tensor",
            parts: [
                Part("weight", .f8E5M2, [6, 8], fp8(5, nan: specials)), Part("weight_scale", .f32, [], scales(6)),
            ], leaf: "weight", shape: [6, 8], digest: "289cd3870ea95bbe18edc5312a35ede675178c64a2cb3352015c829d23abd4ef"
        ),
        Layout(
            testDescription: "fp8_channel",
            parts: [
                Part("weight", .f8E4M3, [6, 8], fp8(7)), Part("weight_scale", .f32, [6, 1], scales(8)),
                Part("input_scale", .f32, [1], scales(50)),
            ], leaf: "weight", shape: [6, 8], digest: "defc1b52221b13f3cedababf28282461a2bbe3c420f4371cad0c3bf5e9f35f7b"
        ),
        Layout(
            testDescription: "fp8_groups",
            parts: [
                Part("weight", .f8E4M3FNUZ, [6, 8], fp8(9, nan: [0x80])),
                Part("weight_scale", .bf16, [6, 2], scales(10, .bf16)),
            ], leaf: "weight", shape: [6, 8], digest: "06592501d0e64abcef4f8a708717fb39f4f3b6124b0b8ec3e7e11b2b46400ab6"
        ),
        Layout(
            testDescription: "fp8_stack",
            parts: [
                Part("gate_up_proj", .f8E5M2FNUZ, [2, 6, 8], fp8(11, nan: [0x80])),
                Part("gate_up_proj_scale", .f16, [2, 1, 8], scales(12, .f16)),
            ], leaf: "gate_up_proj", shape: [2, 6, 8],
            digest: "87ed58b29d232d8b769dfa2b220dfc0aea814b2b1590b000df3708889b52b160"),
        Layout(
            testDescription: "mxfp8",
            parts: [Part("weight", .f8E4M3, [6, 64], fp8(13)), Part("weight_scale", .u8, [6, 2], powers(14))],
            leaf: "weight", shape: [6, 64], digest: "ee292cab5742f5ac737eed92b99d48ddc471fcd7c8bced182336a7fd49225e03"),
        Layout(
            testDescription: "fp4_experts",
            parts: [Part("weight", .i8, [6, 32], codes(15)), Part("scale", .f8E8M0, [6, 2], powers(16))],
            leaf: "weight", shape: [6, 64], digest: "6736c2cb8fd51fc342be0689f9c795d2501d192f30b7b842b4be74b19a2a4048"),
        Layout(
            testDescription: "mxfp4_blocks",
            parts: [
                Part("down_proj_blocks", .u8, [2, 6, 2, 16], codes(17)),
                Part("down_proj_scales", .u8, [2, 6, 2], powers(18)),
            ], leaf: "down_proj", shape: [2, 64, 6],
            digest: "695c4e3dc189cf29623b021883c577207a4d3c852298270d2bbccf7779316fa2"),
        Layout(
            testDescription: "mxfp4_packed",
            parts: [Part("weight_packed", .u8, [6, 32], codes(19)), Part("weight_scale", .u8, [6, 2], powers(20))],
            leaf: "weight", shape: [6, 64], digest: "32f96262cf47f4b910222ed8002feadb5e3e6640368588ce726889cbb16d446e"),
        Layout(
            testDescription: "nvfp4_packed",
            parts: [
                Part("weight_packed", .u8, [6, 16], codes(21)),
                Part("weight_scale", .f8E4M3, [6, 2]) { fp8(22)($0).map { $0 & 0x7F } },
                Part("weight_global_scale", .f32, [1], scales(23, times: 64)),
            ], leaf: "weight", shape: [6, 32],
            digest: "89bb7c23f4b4b1a0927cfb934eb0192a0880fe3571aef6d6a89cd4ef683becc0"),
        Layout(
            testDescription: "nvfp4_modelopt",
            parts: [
                Part("weight", .u8, [6, 16], codes(21)),
                Part("weight_scale", .f8E4M3, [6, 2]) { fp8(22)($0).map { $0 & 0x7F } },
                Part("weight_scale_2", .f32, [], scales(23, times: 64)),
            ], leaf: "weight", shape: [6, 32],
            digest: "512e83030f40584cdd322505ca6c1c94e40a0e8995116753613fcc42caf92297"),
        Layout(
            testDescription: "int8_channel",
            parts: [Part("weight", .i8, [6, 8], codes(24)), Part("weight_scale", .f32, [6, 1], scales(25))],
            leaf: "weight", shape: [6, 8], digest: "af0cd87ad1785431b1565195e0eb3068d4fe670db9c3b3b1fa44002dd9af68ba"),
        Layout(
            testDescription: "int8_zero_point",
            parts: [
                Part("weight", .i8, [6, 8], codes(24)), Part("weight_scale", .f32, [6, 2], scales(27)),
                Part("weight_zero_point", .i8, [6, 2], codes(26)),
            ], leaf: "weight", shape: [6, 8], digest: "81dd4613c679267f6227f8ea67c0e372e777d2f0f12072030b2104ef7571d60d"
        ),
        Layout(
            testDescription: "bitsandbytes",
            parts: [
                Part("weight", .i8, [6, 8], codes(24)), Part("SCB", .f32, [6], scales(28, times: 2)),
                Part("weight_format", .u8, []) { _ in [0] },
            ], leaf: "weight", shape: [6, 8], digest: "7e2a70ddb7f0fc6c6230a2c0201a7b7e14ad6966c2e551cb853b178ab3354d85"
        ),
        Layout(
            testDescription: "packed",
            parts: [
                Part("weight_packed", .i32, [12, 2], codes(29, 4)), Part("weight_scale", .f32, [12, 3], scales(30)),
                Part("weight_shape", .i64, [2], integers([12, 12] as [Int64])),
            ], leaf: "weight", shape: [12, 12],
            digest: "a950443b4a525a277388c4749a624d6bc1d4cbafdc542bc5ca898d7b64309c21",
            settings: #""quant_method": "compressed-tensors", "config_groups": \#(groups)"#),
        Layout(
            testDescription: "packed_zero_point",
            parts: [
                Part("weight_packed", .i32, [12, 2], codes(29, 4)), Part("weight_scale", .f32, [12, 3], scales(30)),
                Part("weight_shape", .i64, [2], integers([12, 12] as [Int64])),
                Part("weight_zero_point", .i32, [2, 3], codes(31, 4)),
            ], leaf: "weight", shape: [12, 12],
            digest: "ea3d1f64d3d04bbebd9ddb0a5699b3db6f7043aad94f2a1af1752543709139cf"),
        Layout(
            testDescription: "gptq",
            parts: [
                Part("qweight", .i32, [2, 8], codes(32, 4)), Part("qzeros", .i32, [4, 1], codes(33, 4)),
                Part("scales", .f16, [4, 8], scales(34, .f16)),
                Part("g_idx", .i32, [16], integers((0..<16).map { Int32($0 * 7 % 16 / 4) })),
            ], leaf: "weight", shape: [8, 16],
            digest: "4e5965d88c5298ee0f6c81d6005ecaec131b940be849971c4aa07088e3d4d0e9",
            settings: #""quant_method": "gptq", "bits": 4, "group_size": 4, "desc_act": true"#),
        Layout(
            testDescription: "gptq_v2",
            parts: [
                Part("qweight", .i32, [2, 8], codes(32, 4)), Part("qzeros", .i32, [4, 1], codes(33, 4)),
                Part("scales", .f16, [4, 8], scales(34, .f16)),
            ], leaf: "weight", shape: [8, 16],
            digest: "97533407a813499c567245a2b518ac01e36cb4eedc408d8d31758badf4ed55c8",
            settings: #""quant_method": "gptq", "bits": 4, "group_size": 4, "checkpoint_format": "gptq_v2""#),
        Layout(
            testDescription: "gptq_8_bits",
            parts: [
                Part("qweight", .i32, [4, 8], codes(35, 4)), Part("qzeros", .i32, [2, 2], codes(36, 4)),
                Part("scales", .f16, [2, 8], scales(37, .f16)),
            ], leaf: "weight", shape: [8, 16],
            digest: "d3b08c998cc108261cf1e7ce6be8c79c3810262405047211425b5f738224018c"),
        Layout(
            testDescription: "awq",
            parts: [
                Part("qweight", .i32, [16, 2], codes(38, 4)), Part("qzeros", .i32, [4, 2], codes(39, 4)),
                Part("scales", .f16, [4, 16], scales(40, .f16)),
            ], leaf: "weight", shape: [16, 16],
            digest: "bdfcfafbe094421eb819cc65b02519519f0c3b548c6e0eb7a6e485030be2ab12",
            settings: #""quant_method": "awq", "bits": 4, "group_size": 4, "version": "gemm""#),
    ]

    private let folder = TemporaryFolder()

    private func open(
        _ parts: [Part], _ settings: String = "", format: FormatID = .safetensors, options: ReadOptions = ReadOptions()
    ) throws -> TensorStore {
        let descriptors = try parts.map {
            try TensorDescriptor(name: TensorName("l.0.q.\($0.leaf)"), dtype: $0.dtype, shape: Shape($0.shape))
        }
        let path = folder.file("model.\(format.rawValue)")
        let writer = try CheckpointFormat.makeWriter(
            format, at: path, declaring: descriptors, options: WriteOptions(force: true, sync: false))
        try write(parts.map(\.bytes), with: writer)
        if !settings.isEmpty {
            _ = try folder.write(Array(#"{"quantization_config": {\#(settings)}}"#.utf8), to: "config.json")
        }
        return try TensorStore(opening: path, options: options)
    }

    /// From a file that is mapped, and from one that is decoded in pieces.
    @Test(arguments: layouts, [FormatID.safetensors, .skein])
    func standsForTheNumbersOfItsLibrary(layout: Layout, format: FormatID) throws {
        let store = try open(layout.parts, layout.settings, format: format)
        let weight = try #require(store.descriptors.first)
        #expect(store.descriptors.count == 1)
        #expect(weight.name.text == "l.0.q.\(layout.leaf)")
        #expect(weight.dtype == .f32 && weight.shape.dims == layout.shape)
        let bytes = try store.reader.bytes(of: 0)
        #expect(bytes.withUnsafeBytes { TensorDigest(of: $0).hexadecimal } == layout.digest)
        #expect(store.warnings.map(\.code).contains("input.dequantized"))
    }

    /// Any range of bytes, whole numbers or not, over the borders of rows, cells and matrices.
    @Test(arguments: layouts) func readsAnyRange(layout: Layout) throws {
        let store = try open(layout.parts, layout.settings)
        let whole = try store.reader.bytes(of: 0).withUnsafeBytes { Array($0) }
        for step in [1, 4, 7, 36, 101] {
            for start in stride(from: 0, to: whole.count, by: step * 3) {
                let range = start..<min(start + step, whole.count)
                var part = [UInt8](repeating: 0xAA, count: range.count)
                try part.withUnsafeMutableBytes { try store.reader.read(range, of: 0, into: $0) }
                guard part.elementsEqual(whole[range]) else {
                    Issue.record("bytes \(range) differ")
                    return
                }
            }
        }
    }

    /// Rows and columns beyond one tile, and a row beyond what is decoded at a time, by the rule itself.
    @Test(arguments: [(200, 300), (3, 5000)]) func edgesAreCutOff(rows: Int, columns: Int) throws {
        let grid = [(rows + 127) / 128, (columns + 127) / 128]
        let parts = [
            Part("weight", .f8E4M3, [rows, columns]) { _ in [UInt8](repeating: 0x38, count: rows * columns) },
            Part("weight_scale_inv", .f32, grid, Self.scales(3)),
        ]
        let store = try open(parts)
        let scales = parts[1].bytes.withUnsafeBytes { $0.bindMemory(to: Float.self).map { $0 } }
        let differing = try store.reader.bytes(of: 0).withUnsafeBytes { bytes in
            let values = bytes.bindMemory(to: Float.self)
            return (0..<rows * columns).count { place in
                values[place] != scales[place / columns / 128 * grid[1] + place % columns / 128]
            }
        }
        #expect(differing == 0)
    }

    /// gpt-oss' layout beyond one tile: rows of codes are columns of the weight.
    @Test func transposesTileByTile() throws {
        let (experts, rows, groups) = (2, 70, 5)
        let parts = [
            Part("w_blocks", .u8, [experts, rows, groups, 16], Self.codes(1)),
            Part("w_scales", .u8, [experts, rows, groups]) { [UInt8](repeating: 127, count: $0) },
        ]
        let store = try open(parts)
        let table: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
        let columns = groups * 32
        #expect(store.descriptors[0].shape.dims == [experts, columns, rows])
        let differing = try store.reader.bytes(of: 0).withUnsafeBytes { bytes in
            let values = bytes.bindMemory(to: Float.self)
            return (0..<experts * rows * columns).count { place in
                let (expert, column, row) = (place / rows / columns, place / rows % columns, place % rows)
                let byte = parts[0].bytes[((expert * rows + row) * columns + column) / 2]
                return values[place] != table[Int(column % 2 == 0 ? byte & 15 : byte >> 4)]
            }
        }
        #expect(differing == 0)
    }

    @Test func partsStayPartsWhereTheyAreWanted() throws {
        var options = ReadOptions()
        options.keepsParts = true
        let layout = Self.layouts[0]
        let store = try open(layout.parts, layout.settings, options: options)
        #expect(Set(store.descriptors.map(\.dtype)) == [.f8E4M3, .f32])
        #expect(store.quantizedWeights.isEmpty)
        let weights = try open(layout.parts, layout.settings)
        #expect(weights.quantizedWeights == ["l.0.q.weight"])
    }

    static let refused: [(name: String, parts: [Part], settings: String)] = {
        func part(_ leaf: String, _ dtype: DType, _ shape: [Int]) -> Part {
            Part(leaf, dtype, shape) { [UInt8](repeating: 0x11, count: $0 * dtype.bitWidth / 8) }
        }
        let gptq = [
            part("qweight", .i32, [2, 8]), part("qzeros", .i32, [4, 1]), part("scales", .f16, [4, 8]),
        ]
        let blocks = [part("weight", .f8E4M3, [8, 8]), part("weight_scale_inv", .f32, [1, 1])]
        return [
            (
                "blocks that do not fit", [part("weight", .f8E4M3, [8, 8]), part("weight_scale_inv", .f32, [3, 3])], ""
            ),
            (
                "groups or blocks", [part("weight", .f8E4M3, [64, 200]), part("weight_scale", .f32, [1, 2])], ""
            ),
            ("fused parts", [part("weight", .f8E4M3, [8, 8]), part("weight_scale", .f32, [3])], ""),
            (
                "two scales",
                [
                    part("weight", .f8E4M3, [8, 8]), part("weight_scale", .f32, []),
                    part("weight_scale_inv", .f32, [1, 1]),
                ], ""
            ),
            (
                "inputs that are scaled",
                [
                    part("weight", .f8E4M3, [8, 8]), part("weight_scale", .f32, []),
                    part("pre_quant_scale", .bf16, [8]),
                ], ""
            ),
            (
                "a weight that is turned", [part("weight", .f8E4M3, [8, 8]), part("weight_scale", .f32, [])],
                #""quant_method": "compressed-tensors", "transform_config": {"config_groups": {"R1": {}}}"#
            ),
            ("GPTQ for Marlin", gptq, #""quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin""#),
            ("GPTQ of other bits", gptq, #""quant_method": "gptq", "bits": 3"#),
            ("another method in words", gptq, #""quant_method": "auto-round", "bits": 4"#),
            (
                "AWQ for products with vectors",
                [
                    part("qweight", .i32, [8, 2]), part("qzeros", .i32, [8, 1]), part("scales", .f16, [8, 4]),
                ], #""quant_method": "awq", "version": "gemv""#
            ),
            (
                "bitsandbytes 4-bit",
                [
                    part("weight", .u8, [32, 1]), part("weight.absmax", .u8, [1]), part("weight.quant_map", .f32, [16]),
                ], ""
            ),
            (
                "bitsandbytes in tiles",
                [
                    part("weight", .i8, [8, 8]), part("SCB", .f32, [8]), part("weight_format", .u8, []),
                ], ""
            ),
            (
                "hqq", [part("W_q", .u8, [4, 8]), part("scale", .f16, [1, 8]), part("zero", .f16, [1, 8])], ""
            ),
            (
                "a bare matrix of bytes", [part("weight", .u8, [8, 4]), part("weight_scale", .bf16, [1])],
                #""quant_method": "bitnet""#
            ),
            (
                "GPTQ in an order that nothing tells", gptq,
                #""quant_method": "gptq", "bits": 4, "group_size": 4, "desc_act": true"#
            ),
            ("GPTQ in other groups", gptq, #""quant_method": "gptq", "bits": 4, "group_size": 8"#),
            ("GPTQ in more groups than one", gptq, #""quant_method": "gptq", "bits": 4, "group_size": -1"#),
            ("blocks of nothing", blocks, #""weight_block_size": [0, 0]"#),
            ("blocks of less than nothing", blocks, #""weight_block_size": [-1, 128]"#),
            ("blocks of one number", blocks, #""weight_block_size": "128""#),
            ("groups in words", blocks, #""group_size": "all""#),
            (
                "groups of two sizes that both fit",
                [part("weight", .f8E4M3, [8, 20]), part("weight_scale", .f32, [8, 4])],
                #""config_groups": {"a": {"weights": {"group_size": 6}}, "b": {"weights": {"group_size": 5}}}"#
            ),
            (
                "8-bit integers that ComfyUI may have turned",
                [
                    part("weight", .i8, [8, 8]), part("weight_scale", .f32, [8, 1]), part("comfy_quant", .u8, [20]),
                ], ""
            ),
            (
                "NVFP4 without its scale",
                [part("weight_packed", .u8, [8, 8]), part("weight_scale", .f8E4M3, [8, 1])], ""
            ),
        ]
    }()

    /// Nothing is put together in part, and nothing that has two meanings.
    @Test(arguments: refused.indices) func whatIsNotKnownStaysParts(number: Int) throws {
        let (name, parts, settings) = Self.refused[number]
        let store = try open(parts, settings)
        #expect(store.quantizedWeights.isEmpty, "\(name)")
        #expect(store.descriptors.count == parts.count)
        #expect(Quantization(of: store) != nil, "\(name)")
    }

    /// What the model does with activations and caches goes with the codes.
    @Test func scalesOfCachesAreLeftOut() throws {
        func part(_ leaf: String, _ dtype: DType, _ shape: [Int]) -> Part {
            Part(leaf, dtype, shape) { [UInt8](repeating: 0x38, count: $0 * dtype.bitWidth / 8) }
        }
        let store = try open(
            [
                part("weight", .f8E4M3, [8, 8]), part("weight_scale", .f32, []), part("comfy_quant", .u8, [20]),
                part("k_global_scale", .f32, []), part("k_zero_point", .i8, []),
                part("kv_cache_scaling_factor", .f32, [1]),
            ], "")
        #expect(store.descriptors.map(\.name) == ["l.0.q.weight"])
    }

    /// Where scales are gone into weights, codes without any are still codes.
    @Test func codesThatLostTheirScaleStayParts() throws {
        func part(_ leaf: String, _ dtype: DType, _ shape: [Int]) -> Part {
            Part(leaf, dtype, shape) { [UInt8](repeating: 0x38, count: $0 * dtype.bitWidth / 8) }
        }
        let store = try open(
            [
                part("weight", .f8E4M3, [8, 8]), part("weight_scale", .f32, []), part("other", .f8E4M3, [8, 8]),
            ], "")
        #expect(store.quantizedWeights == ["l.0.q.weight"])
        #expect(Quantization(of: store)?.parts == ["l.0.q.other"])
    }

    /// The sizes of blocks are said elsewhere: a result depends on that file, too.
    @Test func theConfigurationIsAFileOfTheCheckpoint() throws {
        let layout = Self.layouts[0]
        let store = try open(layout.parts, layout.settings)
        let names = store.reader.files.map { $0.lastComponent?.string }
        #expect(names.contains("config.json"))
    }

    @Test func aRowOfAGroupThatIsNotThereIsAnError() throws {
        let layout = try #require(Self.layouts.first { $0.testDescription == "gptq" })
        var parts = layout.parts
        parts[3] = Part("g_idx", .i32, [16], Self.integers([Int32](repeating: 4, count: 16)))
        let store = try open(parts, layout.settings)
        let error = #expect(throws: FormatError.self) { try store.reader.bytes(of: 0) }
        #expect(error?.category == .badValue)
        #expect(error?.tensor == "l.0.q.g_idx")
    }

    /// What a result is stored as: the type that the configuration declares, else that of the tensors beside.
    @Test func remembersTheTypeBefore() throws {
        let parts = Self.layouts[3].parts + [Part("bias", .bf16, [6], Self.scales(1, .bf16))]
        let store = try open(parts)
        #expect(store.descriptors.indices.map(store.reader.restingType) == [.bf16, .bf16])
        _ = try folder.write(Array(#"{"torch_dtype": "float16"}"#.utf8), to: "config.json")
        let declared = try open(parts)
        #expect(Set(declared.descriptors.indices.map(declared.reader.restingType)) == [.f16, .bf16])
        let name = try #require(declared.quantizedWeights.first)
        let weight = try #require(declared.index(of: name))
        #expect(declared.reader.restingType(of: weight) == .f16)
    }
}
