import Checkpoints
import Foundation
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// A tiny Llama on its way into GGUF and back, against llama.cpp's own converter; see Fixtures/gguf/make_model.py.
@Suite struct GGUFModelTests {
    private static let folder = Fixtures.path("gguf/llama")

    private func expected(_ kind: String) throws -> JSONValue {
        try #require(try JSONDocument.parse(Fixtures.path("gguf/llama.json").contents())[kind])
    }

    private func store() throws -> TensorStore { try TensorStore(opening: Self.folder.appending("model.safetensors")) }

    private func model(_ layout: ElementLayout) throws -> GGUFModel {
        try #require(try GGUFModel(try store().reader, folder: Self.folder, layout: layout))
    }

    /// The bytes of a tensor in a layout that llama.cpp stores it in.
    private func bytes(_ reader: any CheckpointReader, _ index: Int, as layout: ElementLayout) throws -> [UInt8] {
        let stored = try reader.bytes(of: index).withUnsafeBytes(Array.init)
        if layout == reader.descriptors[index].layout { return stored }
        let numbers = stored.withUnsafeBytes { bytes in
            (0..<bytes.count / 2).map {
                Float(bitPattern: UInt32(bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) << 16)
            }
        }
        if layout == .plain(.f32) { return numbers.withUnsafeBytes(Array.init) }
        if layout == .plain(.f16) { return numbers.map(Float16.init).withUnsafeBytes(Array.init) }
        var blocks = [UInt8](repeating: 0, count: try layout.byteCount(elements: numbers.count))
        numbers.withUnsafeBufferPointer { numbers in
            blocks.withUnsafeMutableBytes { BlockType.q8_0.quantize(numbers, into: $0.baseAddress!) }
        }
        return blocks
    }

    @Test(arguments: [
        ElementLayout.plain(.f32), .plain(.bf16), .plain(.f16), .blocks(.q8_0),
    ]) func tensorsAreThoseOfTheConverter(_ layout: ElementLayout) throws {
        let reader = try model(layout).reader
        let tensors = try #require(try expected(layout.name)["tensors"]?.object)
        #expect(reader.descriptors.count == tensors.reduce(0) { count, _ in count + 1 })
        for tensor in tensors {
            let index = try #require(
                reader.descriptors.firstIndex { $0.name == TensorName(tensor.key) }, "\(tensor.key)")
            let descriptor = reader.descriptors[index]
            let stored = GGUFTranslation.layout(of: descriptor, wanted: layout)
            #expect(stored.name == tensor.value["dtype"]?.string, "\(tensor.key)")
            #expect(descriptor.shape.dims == tensor.value["shape"]?.array?.compactMap(\.int))
            if tensor.key == "rope_freqs.weight" { continue }
            let content = try bytes(reader, index, as: stored)
            #expect(
                content.withUnsafeBytes { TensorDigest(of: $0).hexadecimal } == tensor.value["sha256"]?.string,
                "\(tensor.key)")
        }
    }

    /// PyTorch's powers differ from the C library's in the last place.
    @Test func rotaryFactorsAreThoseOfTheConverter() throws {
        let reader = try model(.plain(.f32)).reader
        let index = try #require(reader.descriptors.firstIndex { $0.name == "rope_freqs.weight" })
        let found = try reader.bytes(of: index).withUnsafeBytes { Array($0.assumingMemoryBound(to: Float.self)) }
        let expected: [Float] = [1, 1, 3.568_533_7, 8, 8, 8, 8, 8]
        #expect(found.count == expected.count)
        #expect(zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-6 * $1 })
    }

    @Test func metadataAreThoseOfTheConverter() throws {
        let model = try model(.plain(.f32))
        #expect(model.warnings.isEmpty)
        let members = try #require(try expected("F32")["metadata"]?.object)
        // The name is that of the folder; a size in words and the separator of pairs are left out.
        let others: Set = ["general.name", "general.size_label", "tokenizer.ggml.add_sep_token"]
        #expect(
            Set(members.map(\.key)).subtracting(others) == Set(model.metadata.entries.map(\.key)).subtracting(others))
        for member in members where !others.contains(member.key) {
            let value = try #require(model.metadata[member.key], "\(member.key)")
            #expect(Self.kinds(of: value) == member.value["types"]?.array?.compactMap(\.string), "\(member.key)")
            #expect(Self.isEqual(value, try #require(member.value["value"])), "\(member.key)")
        }
    }

    private static func kinds(of value: GGUFValue) -> [String] {
        if case .array(let array) = value { return ["ARRAY", "\(array.kind)".uppercased()] }
        return ["\(value.kind)".uppercased()]
    }

    private static func isEqual(_ value: GGUFValue, _ json: JSONValue) -> Bool {
        switch value {
        case .string(let text): text == json.string
        case .bool(let truth): truth == json.bool
        case .float32(let number): Double(number) == json.double
        case .array(let array):
            array.count == json.array?.count
                && zip(array.values, json.array.map(Array.init) ?? []).allSatisfy { isEqual($0, $1) }
        default: value.integer == json.int
        }
    }

    @Test func changesTheTypeOfTheFile() throws {
        for (layout, number) in [(ElementLayout.plain(.bf16), 32), (.plain(.f16), 1), (.blocks(.q8_0), 7)] {
            #expect(try model(layout).metadata["general.file_type"]?.integer == number)
            #expect(try expected(layout.name)["metadata"]?["general.file_type"]?["value"]?.int == number)
        }
    }

    @Test func comesBackAsItWas() throws {
        let store = try store()
        let model = try model(.plain(.bf16))
        let translation = try #require(GGUFTranslation(model.metadata))
        let back = try translation.fromGGUF(model.reader)
        #expect(Set(back.descriptors) == Set(store.descriptors))
        for (index, descriptor) in back.descriptors.enumerated() {
            let original = try #require(try store.copy(of: descriptor.name))
            #expect(try back.bytes(of: index).withUnsafeBytes(Array.init) == original, "\(descriptor.name)")
            // In pieces that end within rows.
            var pieces: [UInt8] = []
            for start in stride(from: 0, to: original.count, by: 1000) {
                var piece = [UInt8](repeating: 0, count: min(1000, original.count - start))
                try piece.withUnsafeMutableBytes { try back.read(start..<start + $0.count, of: index, into: $0) }
                pieces += piece
            }
            #expect(pieces == original, "\(descriptor.name)")
        }
    }

    @Test func warnsOfAMissingTokenizer() throws {
        let folder = TemporaryFolder()
        _ = try folder.write(Self.folder.appending("config.json").contents(), to: "config.json")
        let model = try #require(try GGUFModel(try store().reader, folder: folder.path, layout: .plain(.f16)))
        #expect(model.warnings.map(\.code) == ["format.no_vocabulary"])
        #expect(model.metadata["tokenizer.ggml.model"] == nil)
    }

    @Test func refusesATensorWithoutAName() throws {
        let descriptor = try TensorDescriptor(
            name: "model.layers.0.mlp.experts.3.up_proj.weight", dtype: .f32, shape: [2])
        let extra = MemoryCheckpoint(tensors: [(descriptor, try AlignedBuffer(byteCount: 8))])
        let error = try #require(throws: FormatError.self) {
            _ = try GGUFModel(extra, folder: Self.folder, layout: .plain(.f16))
        }
        #expect(error.category == .badName)
    }

    @Test func refusesHeadsThatDoNotFill() throws {
        let descriptor = try TensorDescriptor(
            name: "model.layers.0.self_attn.q_proj.weight", dtype: .f32, shape: [6, 2])
        let odd = MemoryCheckpoint(tensors: [(descriptor, try AlignedBuffer(byteCount: 48))])
        let error = try #require(throws: FormatError.self) {
            _ = try GGUFModel(odd, folder: Self.folder, layout: .plain(.f16))
        }
        #expect(error.category == .badShape)
    }

    // MARK: Against config.json

    /// A folder with the configuration, in which a text is another one.
    private func configured(_ text: String, _ other: String) throws -> TemporaryFolder {
        let folder = TemporaryFolder()
        let config = String(decoding: try Self.folder.appending("config.json").contents(), as: UTF8.self)
        try #require(config.contains(text))
        _ = try folder.write(Array(config.replacing(text, with: other).utf8), to: "config.json")
        return folder
    }

    @Test(arguments: [
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "num_hidden_layers", "layer 1"),
        ("\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4", "num_key_value_heads", "64"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 2", "num_attention_heads", "32"),
        ("\"head_dim\": 16", "\"head_dim\": 8", "head_dim", "32"),
        ("\"hidden_size\": 64", "\"hidden_size\": 32", "hidden_size", "32"),
        ("\"intermediate_size\": 96", "\"intermediate_size\": 64", "intermediate_size", "96"),
        ("\"vocab_size\": 52", "\"vocab_size\": 50", "vocab_size", "52"),
    ]) func refusesAnotherModelsConfiguration(text: String, other: String, key: String, number: String) throws {
        let folder = try configured(text, other)
        let error = try #require(throws: FormatError.self) {
            _ = try GGUFModel(try store().reader, folder: folder.path, layout: .plain(.f16))
        }
        #expect(error.category == .badShape)
        #expect(error.file == folder.file("config.json").string)
        #expect(error.tensor != nil && error.message.contains("`\(key)`") && error.message.contains(number))
    }

    @Test func namesATensorThatIsMissing() throws {
        let folder = try configured("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")
        func convert(_ reader: any CheckpointReader, _ folder: FilePath, isWhole: Bool = true) throws -> FormatError? {
            do {
                _ = try GGUFModel(reader, folder: folder, layout: .plain(.f16), isWhole: isWhole)
                return nil
            } catch let error as FormatError { return error }
        }
        let reader = try store().reader
        let layer = try #require(try convert(reader, folder.path))
        #expect(layer.category == .tensorCount && layer.message.contains("`num_hidden_layers` is 3"))
        #expect(layer.tensor == "model.layers.2.input_layernorm.weight")
        for name in ["lm_head.weight", "model.layers.1.mlp.up_proj.weight"] as [TensorName] {
            let part = CheckpointView(reader, without: name)
            #expect(try convert(part, Self.folder)?.tensor == name.text)
            #expect(try convert(part, Self.folder, isWhole: false) == nil)
        }
        let tied = try configured("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true")
        #expect(try convert(CheckpointView(reader, without: "lm_head.weight"), tied.path) == nil)
    }

    @Test func refusesExperts() throws {
        let folder = try configured(
            "\"LlamaForCausalLM\"\n  ],", "\"MixtralForCausalLM\"\n  ], \"num_local_experts\": 8,")
        let descriptor = try TensorDescriptor(
            name: "model.layers.0.block_sparse_moe.experts.3.w1.weight", dtype: .f32, shape: [2])
        let experts = MemoryCheckpoint(tensors: [(descriptor, try AlignedBuffer(byteCount: 8))])
        let error = try #require(throws: FormatError.self) {
            _ = try GGUFModel(experts, folder: folder.path, layout: .plain(.f16))
        }
        #expect(error.category == .badName && error.message.contains("`num_local_experts` in config.json is 8"))
    }

    @Test func isNamedAsItsFolderOrOnTheHub() throws {
        let folder = TemporaryFolder()
        for place in ["My-Model", "models--meta--Llama-9/snapshots/0123abcd"] {
            let model = folder.path.appending(FilePath(place).components)
            try FileManager.default.createDirectory(atPath: model.string, withIntermediateDirectories: true)
            let config = try Self.folder.appending("config.json").contents()
            try Data(config).write(to: URL(fileURLWithPath: model.appending("config.json").string))
            let found = try #require(
                try GGUFModel(try store().reader, folder: model.appending("."), layout: .plain(.f16)))
            #expect(found.metadata["general.name"] == .string(place.hasPrefix("My") ? place : "Llama-9"))
        }
    }

    // MARK: From GGUF

    /// A tensor that transformers has no name for costs the others nothing.
    @Test func keepsATensorOfItsOwnUnderItsName() throws {
        let model = try model(.plain(.bf16))
        let more = CheckpointView(model.reader, alias: "blk.0.ffn_gate_inp.weight", ofTensorAt: 0)
        let translation = try #require(GGUFTranslation(model.metadata))
        let back = try translation.fromGGUF(more)
        #expect(back.warnings.map(\.code) == ["format.unknown_tensor"])
        #expect(back.warnings.first?.text.contains("blk.0.ffn_gate_inp.weight") == true)
        let names = try store().descriptors.map(\.name) + ["blk.0.ffn_gate_inp.weight"]
        #expect(Set(back.descriptors.map(\.name)) == Set(names))
    }

    @Test func leavesOtherArchitecturesAlone() throws {
        var metadata = GGUFMetadata()
        metadata["general.architecture"] = .string("mamba")
        metadata["mamba.attention.head_count"] = .uint32(4)
        #expect(GGUFTranslation(metadata) == nil)
        metadata["general.architecture"] = .string("llama")
        #expect(GGUFTranslation(metadata) == nil)
        metadata["llama.attention.head_count"] = .array(GGUFArray(.uint32, [.uint32(4)]))
        #expect(GGUFTranslation(metadata) == nil)
    }
}
