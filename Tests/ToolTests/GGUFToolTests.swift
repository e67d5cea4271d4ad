import Checkpoints
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// GGUF files through the tool: what is converted, compared and merged.
@Suite struct GGUFToolTests {
    private let folder = TemporaryFolder()
    private let model = "Fixtures/gguf/llama"

    private func path(_ name: String) -> String { folder.file(name).string }

    /// SHA-256 of every tensor as it is stored, but for the rotary factors, whose last places are PyTorch's.
    private func digests(_ name: String) throws -> [String: String] {
        let reader = try GGUFReader(opening: folder.file(name))
        return Dictionary(
            uniqueKeysWithValues: reader.descriptors.enumerated().filter { $0.element.name != "rope_freqs.weight" }.map
            {
                index, descriptor in
                let bytes = reader.bytes(of: index)
                return (
                    descriptor.name.text + " " + descriptor.layout.name,
                    bytes.withUnsafeBytes { TensorDigest(of: $0).hexadecimal }
                )
            })
    }

    /// What llama.cpp's converter made.
    private func expected(_ kind: String) throws -> [String: String] {
        let bytes = try MappedFile(Fixtures.path("gguf/llama.json")).withUnsafeBytes(Array.init)
        let tensors = try #require(try JSONDocument.parse(bytes)[kind]?["tensors"]?.object)
        return tensors.filter { $0.key != "rope_freqs.weight" }.reduce(into: [:]) { result, tensor in
            result[tensor.key + " " + (tensor.value["dtype"]?.string ?? "")] = tensor.value["sha256"]?.string
        }
    }

    /// The metadata say it; blocks of codes are what weights are quantised to.
    @Test(arguments: [("BF16", ""), ("Q8_0", ", quantised (Q8_0)")]) func inspectSaysWhatModelItIs(
        type: String, end: String
    ) throws {
        let tool = try Tool()
        #expect(try tool.run("convert", model, path("x.gguf"), "--dtype", type).status == 0)
        let line = "llama, 2 layers, width 64, 4 heads (2 of keys and values), vocabulary 52\(end)"
        #expect(try tool.run("inspect", path("x.gguf")).output.contains("\n  model: \(line)\n"))
        let found = try tool.run("inspect", path("x.gguf"), "--json").json()["model"]
        #expect(found["layers"].int == 2 && found["quantization"].string == (end.isEmpty ? nil : "Q8_0"))
    }

    @Test(arguments: ["F32", "F16", "BF16", "Q8_0"]) func convertsAModelAsLlamaCppDoes(_ type: String) throws {
        let result = try Tool().run("convert", model, path("x.gguf"), "--dtype", type)
        #expect(result.status == 0, "\(result.errors)")
        let lost = type == "F16" ? "warning: 1 value of tensor \"output.weight\" became zero as F16\n" : ""
        #expect(result.errors == lost)
        #expect(try digests("x.gguf") == expected(type))
        let metadata = try GGUFReader(opening: folder.file("x.gguf")).typedMetadata
        #expect(metadata["llama.block_count"] == .uint32(2))
        #expect(metadata["tokenizer.ggml.pre"] == .string("llama-bpe"))
    }

    @Test func keepsTheTypeOfTheModel() throws {
        #expect(try Tool().run("convert", model, path("x.gguf")).status == 0)
        #expect(try digests("x.gguf") == expected("BF16"))
    }

    /// A file into a file keeps its blocks and its metadata, and a type may be asked for.
    @Test func convertsAFileIntoAFile() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", model, path("a.gguf"), "--dtype", "q8_0").status == 0)
        #expect(try tool.run("convert", path("a.gguf"), path("b.gguf")).status == 0)
        let isTheSame =
            try MappedFile(folder.file("a.gguf")).withUnsafeBytes(Array.init)
            == MappedFile(folder.file("b.gguf")).withUnsafeBytes(Array.init)
        #expect(isTheSame)
        let set = try tool.run(
            "convert", path("a.gguf"), path("c.gguf"), "--dtype", "f16", "--metadata", "llama.context_length=7",
            "--metadata", "note=x", "--exclude", "output.*")
        #expect(set.status == 0, "\(set.errors)")
        let reader = try GGUFReader(opening: folder.file("c.gguf"))
        #expect(reader.typedMetadata["llama.context_length"] == .uint32(7))
        #expect(reader.typedMetadata["note"] == .string("x"))
        #expect(reader.typedMetadata["general.file_type"] == .uint32(1))
        #expect(!reader.descriptors.contains { $0.name == "output.weight" })
        #expect(Set(reader.descriptors.map(\.layout)) == [.plain(.f16), .plain(.f32)])
        // What the key cannot hold is refused, as by `edit`, and not written as a text.
        let refused = try tool.run(
            "convert", path("a.gguf"), path("d.gguf"), "--metadata", "llama.context_length=long", "--json")
        #expect(refused.status == 3)
        #expect(try refused.error()["code"].string == "edit.bad_value")
        #expect(!fileExists(folder.file("d.gguf")))
    }

    /// A matrix is quantised whatever it is called; rows of 40 numbers are no blocks of 32, and vectors keep their type.
    @Test func quantisesWhatFitsOfAnUnknownModel() throws {
        let tool = try Tool()
        let source = folder.file("plain.safetensors")
        let shapes: [(TensorName, Shape)] = [("a", [2, 64]), ("b.weight", [2, 40]), ("c", [64])]
        let tensors = try shapes.map { try TensorDescriptor(name: $0, dtype: .bf16, shape: $1) }
        let writer = try CheckpointFormat.makeWriter(.safetensors, at: source, declaring: tensors)
        for (place, tensor) in tensors.enumerated() {
            try [UInt8](repeating: 0, count: tensor.byteCount).withUnsafeBytes {
                try writer.write($0, tensor: place, at: 0)
            }
        }
        _ = try writer.finish()
        #expect(try tool.run("convert", source.string, path("plain.gguf"), "--dtype", "q8_0").status == 0)
        let reader = try GGUFReader(opening: folder.file("plain.gguf"))
        let layouts = Dictionary(uniqueKeysWithValues: reader.descriptors.map { ($0.name, $0.layout) })
        #expect(layouts == ["a": .blocks(.q8_0), "b.weight": .plain(.bf16), "c": .plain(.bf16)])
    }

    /// Patterns and rules are about the names that the input has, as for any other output.
    @Test func selectsAndRenamesByTheNamesOfTheInput() throws {
        let tool = try Tool()
        let file = "\(model)/model.safetensors"
        #expect(
            try tool.run("convert", file, path("wrapped.safetensors"), "--rename", "^=>module.").status == 0)
        for name in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
            let file = try MappedFile(Fixtures.path("gguf/llama/\(name)"))
            _ = try folder.write(file.withUnsafeBytes(Array.init), to: name)
        }
        let unwrapped = try tool.run(
            "convert", path("wrapped.safetensors"), path("x.gguf"), "--rename", "^module\\.=>", "--exclude",
            "module.lm_head.*")
        #expect(unwrapped.status == 0, "\(unwrapped.errors)")
        var all = try expected("BF16")
        all["output.weight BF16"] = nil
        #expect(try digests("x.gguf") == all)
        let part = try tool.run(
            "convert", path("x.gguf"), path("part.gguf"), "--only", "blk.1.*", "--rename", "^blk=>b")
        #expect(part.status == 0, "\(part.errors)")
        #expect(try digests("part.gguf").keys.allSatisfy { $0.hasPrefix("b.1.") })
        for input in [model, path("x.gguf"), "Fixtures/suites/tiny/base.safetensors"] {
            let nothing = try tool.run("convert", input, path("no.gguf"), "--only", "nope*", "--json")
            #expect(nothing.status == 3)
            #expect(try nothing.error()["code"].string == "convert.nothing_selected")
        }
        #expect(!fileExists(folder.file("no.gguf")))
    }

    /// Of the metadata, other files get what stays true there.
    @Test func givesAwayNoDisplayedArrays() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", model, path("x.gguf"), "--dtype", "q8_0").status == 0)
        #expect(try tool.run("convert", path("x.gguf"), path("x.safetensors")).status == 0)
        let keys = try TensorStore(opening: folder.file("x.safetensors")).metadata.entries.map(\.key)
        #expect(keys.contains("llama.context_length") && keys.contains("tokenizer.ggml.model"))
        let others = ["general.file_type", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"]
        #expect(!keys.contains { others.contains($0) })
    }

    /// Numbers that cannot be cast are not told to be; NumPy's lack of a type has a way of its own.
    @Test func hintsAtWhatHelps() throws {
        let tool = try Tool()
        let file = "\(model)/model.safetensors"
        let brain = try tool.run("convert", file, path("x.npz"), "--json")
        #expect(try brain.error()["hint"].string?.contains("--upcast") == true)
        #expect(try brain.error()["hint"].string?.contains("--dtype F32") == true)
        let bytes = folder.file("bytes.safetensors")
        let tensor = try TensorDescriptor(name: "a", dtype: .u8, shape: [4])
        let writer = try CheckpointFormat.makeWriter(.safetensors, at: bytes, declaring: [tensor])
        try [1, 2, 3, 4].withUnsafeBytes {
            try writer.write(UnsafeRawBufferPointer(rebasing: $0[..<4]), tensor: 0, at: 0)
        }
        _ = try writer.finish()
        let whole = try tool.run("convert", bytes.string, path("x.gguf"), "--json")
        #expect(try whole.error()["code"].string == "format.unsupported_dtype")
        #expect(try whole.error()["hint"].string?.contains("--dtype") == false)
        #expect(try whole.error()["tensor"].string == "a")
    }

    /// Other commands see the model as transformers has it.
    @Test func comesBackToTransformers() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", model, path("x.gguf")).status == 0)
        let same = try tool.run("diff", path("x.gguf"), "\(model)/model.safetensors", "--json")
        #expect(same.errors == "")
        #expect(try tool.run("convert", path("x.gguf"), path("x.safetensors"), "--dtype", "bf16").status == 0)
        let difference = try tool.run("diff", path("x.safetensors"), "\(model)/model.safetensors")
        #expect(difference.status == 0, "\(difference.output)")
    }

    @Test func isAnInputOfAMerge() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", model, path("x.gguf"), "--dtype", "f32").status == 0)
        let merged = try tool.run(
            "merge", "--method", "linear", path("x.gguf"), "\(model)/model.safetensors", "--output",
            path("merged.safetensors"),
            "--dtype", "bf16")
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(try tool.run("diff", path("merged.safetensors"), "\(model)/model.safetensors").status == 0)
    }

    @Test func aMergeNamesTheWayIntoGGUF() throws {
        let file = "\(model)/model.safetensors"
        let result = try Tool().run("merge", "--method", "linear", file, file, "--output", path("merged.gguf"))
        #expect(result.status == 3)
        #expect(result.errors.contains("untangle convert FOLDER"))
    }

    @Test func refusesBlocksElsewhere() throws {
        let tool = try Tool()
        let result = try tool.run("convert", model, path("x.safetensors"), "--dtype", "Q8_0")
        #expect(result.status == 2)
        #expect(result.errors.contains("only .gguf outputs hold Q8_0"))
        #expect(try tool.run("convert", model, path("x.gguf"), "--dtype", "Q4_K").status == 2)
    }

    @Test func warnsOfAModelThatIsNotKnown() throws {
        let result = try Tool().run("convert", "Fixtures/suites/tiny/base.safetensors", path("x.gguf"))
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.errors.contains("llama.cpp will not know the model"))
        #expect(try GGUFReader(opening: folder.file("x.gguf")).descriptors.count > 10)
    }

    @Test func inspectShowsWhatIsStored() throws {
        let tool = try Tool()
        #expect(try tool.run("convert", model, path("x.gguf"), "--dtype", "q8_0").status == 0)
        let result = try tool.run("inspect", path("x.gguf"))
        #expect(result.output.contains("blk.0.attn_q.weight"))
        #expect(result.output.contains("Q8_0"))
        #expect(result.output.contains("tokenizer.ggml.tokens: [\"!\""))
        #expect(result.output.contains("52 in all]"))
        let measured = try tool.run("inspect", path("x.gguf"), "--stats", "--checksum", "--json")
        #expect(measured.status == 0, "\(measured.errors)")
    }
}
