import Checkpoints
import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Adapters of image models, whose names tell everything: those of kohya's trainers and of diffusers.
@Suite struct ImageAdapterTests {
    private let folder = TemporaryFolder()

    struct Part: Sendable {
        let name: String
        let shape: [Int]
        let numbers: [Float]

        init(_ name: String, _ shape: [Int], _ numbers: [Float]) {
            (self.name, self.shape, self.numbers) = (name, shape, numbers)
        }
    }

    @discardableResult
    private func write(_ parts: [Part], to name: String, metadata: [String: String] = [:]) throws -> FilePath {
        var entries = Metadata()
        for (key, value) in metadata { entries[key] = value }
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: folder.file(name),
            declaring: parts.map {
                try TensorDescriptor(name: TensorName($0.name), dtype: .f32, shape: Shape($0.shape))
            },
            metadata: entries)
        for (place, part) in parts.enumerated() {
            try part.numbers.withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
        }
        _ = try writer.finish()
        return folder.file(name)
    }

    /// A weight `[2, 3]`, and factors with B A = [10, 0, -10; 20, 0, -20].
    private static func weight(_ module: String) -> Part { Part("\(module).weight", [2, 3], [1, 2, 3, 4, 5, 6]) }
    private static func factors(_ a: String, _ b: String) -> [Part] {
        [Part(a, [1, 3], [1, 0, -1]), Part(b, [2, 1], [10, 20])]
    }
    private static func kohya(_ module: String, alpha: Float? = 2) -> [Part] {
        factors("\(module).lora_down.weight", "\(module).lora_up.weight")
            + (alpha.map { [Part("\(module).alpha", [], [$0])] } ?? [])
    }
    private static let once: [Float] = [11, 2, -7, 24, 5, -14]
    private static let twice: [Float] = [21, 2, -17, 44, 5, -34]

    private func folded(_ base: FilePath, _ adapter: FilePath) throws -> TensorStore {
        try TensorStore(opening: FilePath("\(base)+\(adapter)"))
    }

    private func category(_ base: FilePath, _ adapter: FilePath) throws -> FormatCategory {
        try #require(throws: FormatError.self) { _ = try folded(base, adapter) }.category
    }

    // MARK: - kohya

    private static let unet = ["down_blocks.0.attentions.0.proj_in", "mid_block.attn1.to_out.0"]
    private static let encoder = "text_model.encoder.layers.0.self_attn.q_proj"

    @Test func underscoresStandForDots() throws {
        let base = try write(Self.unet.map(Self.weight), to: "unet.safetensors")
        let adapter = try write(
            Self.kohya("lora_unet_down_blocks_0_attentions_0_proj_in")
                + Self.kohya("lora_unet_mid_block_attn1_to_out_0", alpha: nil), to: "lora.safetensors")
        let store = try folded(base, adapter)
        #expect(try store.floats(of: "down_blocks.0.attentions.0.proj_in.weight") == Self.twice)
        // Without an alpha the factor is 1.
        #expect(try store.floats(of: "mid_block.attn1.to_out.0.weight") == Self.once)
        #expect(store.warnings.isEmpty && store.reader.files == [base, adapter])
    }

    /// A kernel of a convolution, `[2, 1, 1, 3]`.
    @Test func kernelsAreMatrices() throws {
        let base = try write([Part("conv_in.weight", [2, 1, 1, 3], [1, 2, 3, 4, 5, 6])], to: "unet.safetensors")
        let adapter = try write(
            [
                Part("lora_unet_conv_in.lora_down.weight", [1, 1, 1, 3], [1, 0, -1]),
                Part("lora_unet_conv_in.lora_up.weight", [2, 1, 1, 1], [10, 20]),
            ], to: "lora.safetensors")
        #expect(try folded(base, adapter).floats(of: "conv_in.weight") == Self.once)
    }

    @Test func whatTwoModulesMayMeanIsRefused() throws {
        let adapter = try write(Self.kohya("lora_unet_a_b_c"), to: "lora.safetensors")
        let within = try write(["a.b_c", "a_b.c"].map(Self.weight), to: "within.safetensors")
        #expect(try category(within, adapter) == .badName)
        let twice = try write(["one.a.b.c", "two.a.b.c"].map(Self.weight), to: "twice.safetensors")
        #expect(try category(twice, adapter) == .badName)
    }

    @Test func aBaseTakesWhatIsForItsComponent() throws {
        let adapter = try write(
            Self.kohya("lora_unet_mid_block_attn1_to_out_0")
                + Self.kohya("lora_te_text_model_encoder_layers_0_self_attn_q_proj"), to: "lora.safetensors")
        let unet = try folded(write(Self.unet.map(Self.weight), to: "unet.safetensors"), adapter)
        #expect(try unet.floats(of: "mid_block.attn1.to_out.0.weight") == Self.twice)
        #expect(unet.warnings.map(\.code) == ["format.other_components"])
        #expect(unet.warnings.first?.text.contains("lora_te") == true)
        let encoder = try folded(write([Self.weight(Self.encoder)], to: "te.safetensors"), adapter)
        #expect(try encoder.floats(of: TensorName("\(Self.encoder).weight")) == Self.twice)
        // Other names need all components, and the error says which are not there.
        let base = try TensorStore(opening: folder.file("unet.safetensors")).reader
        let lora = try LoRAAdapter(opening: adapter, options: ReadOptions())
        let error = try #require(throws: FormatError.self) {
            _ = try lora.renamed(.diffusers, base: base, component: nil)
        }
        #expect(error.message.contains("has modules of lora_te, too") && error.hint != nil)
        // One file with both must have all of it.
        let both = ["model.\(Self.unet[1])", "te.transformer.\(Self.encoder)"]
        let whole = try folded(write(both.map(Self.weight), to: "whole.safetensors"), adapter)
        for name in both { #expect(try whole.floats(of: TensorName("\(name).weight")) == Self.twice) }
        #expect(whole.warnings.isEmpty)
        #expect(try category(write([Self.weight(both[1])], to: "half.safetensors"), adapter) == .missingTensor)
        #expect(try category(write([Self.weight("other")], to: "other.safetensors"), adapter) == .missingTensor)
    }

    /// Encoders of one pipeline have the same names and other sizes.
    @Test func shapesTellComponentsApart() throws {
        let narrow = try write([Self.weight(Self.encoder)], to: "te1.safetensors")
        let name = "text_model_encoder_layers_0_self_attn_q_proj"
        let wide = [
            Part("lora_te2_\(name).lora_down.weight", [1, 4], [1, 1, 1, 1]),
            Part("lora_te2_\(name).lora_up.weight", [2, 1], [1, 1]),
        ]
        let store = try folded(narrow, write(Self.kohya("lora_te1_\(name)") + wide, to: "lora.safetensors"))
        #expect(try store.floats(of: TensorName("\(Self.encoder).weight")) == Self.twice)
        #expect(store.warnings.map(\.code) == ["format.other_components"])
        #expect(try category(narrow, write(wide, to: "wide.safetensors")) == .missingTensor)
        // Of one size they do not.
        let both = try write(Self.kohya("lora_te1_\(name)") + Self.kohya("lora_te2_\(name)"), to: "both.safetensors")
        #expect(try category(narrow, both) == .badName)
    }

    /// The names of diffusers, from its own converter, for those of kohya's adapters of SDXL.
    @Test func modulesOfSDXLAreFoundInFoldersOfDiffusers() throws {
        let table = try MappedFile(Fixtures.path("sdxl/names.tsv")).withUnsafeBytes {
            String(decoding: $0, as: UTF8.self)
        }
        let names = table.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
        try #require(names.count == 144 && names.allSatisfy { $0.count == 2 })
        let base = try write(names.map { Part("\($0[1]).weight", [1, 1], [0]) }, to: "unet.safetensors")
        let factors = names.enumerated().flatMap { place, names in
            [
                Part("lora_unet_\(names[0]).lora_down.weight", [1, 1], [1]),
                Part("lora_unet_\(names[0]).lora_up.weight", [1, 1], [Float(place + 1)]),
            ]
        }
        let adapter = try write(factors, to: "lora.safetensors")
        let store = try folded(base, adapter)
        for (place, names) in names.enumerated() {
            #expect(try store.floats(of: TensorName("\(names[1]).weight")) == [Float(place + 1)], "\(names[0])")
        }
        // The single file has the names of the adapter.
        let single = try write(
            [Part("model.diffusion_model.input_blocks.4.1.proj_in.weight", [1, 1], [0])], to: "single.safetensors")
        let one = try write(
            [
                Part("lora_unet_input_blocks_4_1_proj_in.lora_down.weight", [1, 1], [1]),
                Part("lora_unet_input_blocks_4_1_proj_in.lora_up.weight", [1, 1], [7]),
            ], to: "one.safetensors")
        #expect(try folded(single, one).floats(of: "model.diffusion_model.input_blocks.4.1.proj_in.weight") == [7])
    }

    /// In a file with both, an encoder has the names of the other one.
    @Test func anEncoderIsNotFoldedIntoTheOther() throws {
        let name = "text_model_encoder_layers_0_self_attn_q_proj"
        let whole = try write(
            [
                Self.weight("conditioner.embedders.0.transformer.\(Self.encoder)"),
                Self.weight("conditioner.embedders.1.model.transformer.resblocks.0.attn.out_proj"),
            ], to: "whole.safetensors")
        let first = try write(Self.kohya("lora_te1_\(name)"), to: "first.safetensors")
        let store = try folded(whole, first)
        #expect(
            try store.floats(of: TensorName("conditioner.embedders.0.transformer.\(Self.encoder).weight")) == Self.twice
        )
        #expect(try category(whole, write(Self.kohya("lora_te2_\(name)"), to: "second.safetensors")) == .missingTensor)
    }

    @Test func whatIsNoSuchAdapterIsRefused() throws {
        let base = try write([Self.weight("a")], to: "base.safetensors")
        let nan = try write(Self.kohya("lora_unet_a", alpha: .nan), to: "nan.safetensors")
        #expect(try category(base, nan) == .badConfig)
        let half = try write(Array(Self.kohya("lora_unet_a").prefix(1)), to: "half.safetensors")
        #expect(try category(base, half) == .missingTensor)
        let other = try write(
            Self.kohya("lora_unet_a") + [Part("lora_unet_a.dora_scale", [2], [1, 1])], to: "dora.safetensors")
        #expect(try category(base, other) == .badName)
        #expect(try category(base, write([Self.weight("b")], to: "plain.safetensors")) == .unknownFormat)
    }

    // MARK: - diffusers

    /// The names of a module's factors over time.
    @Test(arguments: [
        ("unet.m.attn1.to_q.lora_A", "unet.m.attn1.to_q.lora_B"),
        ("unet.m.attn1.to_q.lora.down", "unet.m.attn1.to_q.lora.up"),
        ("unet.m.attn1.processor.to_q_lora.down", "unet.m.attn1.processor.to_q_lora.up"),
        ("m.attn1.processor.to_q_lora.down", "m.attn1.processor.to_q_lora.up"),
        ("transformer.m.attn1.to_q.lora_A", "transformer.m.attn1.to_q.lora_B"),
    ])
    func namesOfAllTimesAreRead(a: String, b: String) throws {
        let base = try write([Self.weight("m.attn1.to_q")], to: "base.safetensors")
        mkdir(folder.file("lora").string, 0o700)
        try write(Self.factors("\(a).weight", "\(b).weight"), to: "lora/pytorch_lora_weights.safetensors")
        #expect(try folded(base, folder.file("lora")).floats(of: "m.attn1.to_q.weight") == Self.once)
    }

    @Test(arguments: ["m.self_attn.to_out_lora", "m.self_attn.out_proj.lora_linear_layer"])
    func textEncodersAreRead(module: String) throws {
        let base = try write([Self.weight("m.self_attn.out_proj")], to: "base.safetensors")
        let adapter = try write(
            Self.factors("text_encoder.\(module).down.weight", "text_encoder.\(module).up.weight")
                + Self.factors(
                    "unet.m.attn1.processor.to_out_lora.down.weight", "unet.m.attn1.processor.to_out_lora.up.weight"),
            to: "lora.safetensors")
        #expect(try folded(base, adapter).floats(of: "m.self_attn.out_proj.weight") == Self.once)
        let unet = try write([Self.weight("m.attn1.to_out.0")], to: "unet.safetensors")
        #expect(try folded(unet, adapter).floats(of: "m.attn1.to_out.0.weight") == Self.once)
    }

    /// diffusers keeps PEFT's configuration in the metadata.
    @Test func alphaStandsInTheMetadata() throws {
        let base = try write([Self.weight("m.q"), Self.weight("m.k")], to: "base.safetensors")
        let config = #"{"unet.peft_type": "LORA", "unet.r": 1, "unet.lora_alpha": 1, "unet.alpha_pattern": {"q": 2}}"#
        let adapter = try write(
            ["q", "k"].flatMap { Self.factors("unet.m.\($0).lora_A.weight", "unet.m.\($0).lora_B.weight") },
            to: "lora.safetensors", metadata: ["lora_adapter_metadata": config])
        let store = try folded(base, adapter)
        #expect(try store.floats(of: "m.q.weight") == Self.twice)
        #expect(try store.floats(of: "m.k.weight") == Self.once)
    }
}
