import Checkpoints
import Experts
import Kernels
import Networks
import SystemPackage
import TensorCore
import Testing
import TestSupport
import Transcoding

/// Parameters of every type, read and written.
@Suite struct ArchitectureTypeTests {
    private let folder = TemporaryFolder()

    /// Parameters that did not change are written as they were, in every type and under every naming.
    @Test(arguments: NetworkGoldenTests.names, [DType.f16, .bf16, .f32, .f64])
    func parametersComeBackBitForBit(name: String, dtype: DType) throws {
        let original = try TensorStore(opening: Fixtures.path("networks/\(name)/base.safetensors"))
        let backbone = try Backbone(of: original)
        var options = ConversionOptions()
        options.dtype = dtype
        let plan = try ConversionPlan(
            of: original, to: try .test(folder.file("typed.safetensors")), options: options)
        _ = try Conversion(plan, of: original).run(in: testContext)
        let typed = try TensorStore(opening: folder.file("typed.safetensors"))
        let parameters = try backbone.parameters(of: typed)
        let path = folder.file("written.safetensors")
        let writer = try CheckpointFormat.makeWriter(
            try #require(CheckpointFormat.format(ofOutput: path)), at: path, declaring: typed.descriptors,
            metadata: Metadata(), options: WriteOptions(force: true, sync: false))
        try backbone.write(parameters: parameters, like: typed, into: writer)
        let written = try tensors(of: path)
        #expect(written.map(\.name) == typed.descriptors.map(\.name))
        for (own, before) in zip(written, try tensors(of: folder.file("typed.safetensors"))) {
            #expect(own.dtype == before.dtype && own.shape == before.shape && own.bytes == before.bytes, "\(own.name)")
        }
    }

    /// F16 ends at 65,504.
    @Test func whatItsTypeDoesNotHoldIsAnError() throws {
        let original = try TensorStore(opening: Fixtures.path("networks/hf-vit/base.safetensors"))
        let backbone = try Backbone(of: original)
        let half = try tensors(of: Fixtures.path("networks/hf-vit/base.safetensors")).map { tensor in
            TestTensor(tensor.name, .f16, tensor.shape.dims, [UInt8](repeating: 0, count: tensor.bytes.count / 2))
        }
        let typed = try TensorStore(opening: try folder.checkpoint("half.safetensors", half))
        let parameters = try backbone.parameters(of: typed)
        let entry = try #require(backbone.network.layout["blocks.1.attn.qkv.weight"])
        parameters.pointer[entry.range.upperBound - 1] = 70_000
        let path = folder.file("written.safetensors")
        let writer = try CheckpointFormat.makeWriter(
            try #require(CheckpointFormat.format(ofOutput: path)), at: path, declaring: typed.descriptors,
            metadata: Metadata(), options: WriteOptions(force: true, sync: false))
        let error = #expect(throws: InputError.self) {
            try backbone.write(parameters: parameters, like: typed, into: writer)
        }
        #expect(error?.code == "input.bad_value")
        #expect(error?.tensor == "encoder.layer.1.attention.attention.value.weight")
        #expect(error?.file == typed.path.string)
    }

    /// timm's own keys go before those of the hub's file around them.
    @Test func timmsArgumentsCountMore() throws {
        let changed = try folder.network(
            "timm-vit-token", "\"num_features\": 32,\n  \"global_pool\": \"token\"",
            "\"num_features\": 32,\n  \"global_pool\": \"avg\"")
        #expect(try config(Backbone(of: changed)).pooling == .cls)
    }

    /// What takes part in nothing is copied, whatever it holds.
    @Test func whatIsNotTrainedMayHoldAnything() throws {
        var changed = try tensors(of: Fixtures.path("networks/bert-cls-prefixed/base.safetensors"))
        let place = try #require(changed.firstIndex { $0.name == "bert.pooler.dense.weight" })
        changed[place].bytes.replaceSubrange(0..<4, with: [1, 2, 0x80, 0xFF])
        let path = try folder.checkpoint("odd.safetensors", changed)
        let store = try TensorStore(opening: path)
        let backbone = try Backbone(of: store, config: Fixtures.path("networks/bert-cls-prefixed/config.json"))
        let output = folder.file("written.safetensors")
        let writer = try CheckpointFormat.makeWriter(
            try #require(CheckpointFormat.format(ofOutput: output)), at: output, declaring: store.descriptors,
            metadata: Metadata(), options: WriteOptions(force: true, sync: false))
        try backbone.write(parameters: try backbone.parameters(of: store), like: store, into: writer)
        #expect(try tensors(of: output)[place].bytes == changed[place].bytes)
    }
}
