import Checkpoints
import Experts
import TensorCore
import Testing
import TestSupport

@Suite struct QuantizedBackboneTests {
    private let folder = TemporaryFolder()

    @Test func aBackboneOfCodesAndScalesIsRefusedByName() throws {
        let suite = try PipelineSuite("tiny")
        var all = try tensors(of: suite.base)
        let place = try #require(all.firstIndex { $0.name == "blocks.0.attn.qkv.weight" })
        all[place].dtype = .f8E4M3
        all[place].bytes = Array(repeating: 0x38, count: all[place].bytes.count / 4)
        all.append(TestTensor("blocks.0.attn.qkv.weight_scale", [], [0.01]))
        let path = try folder.checkpoint("q.safetensors", all)
        let backbone = try Backbone(of: try TensorStore(opening: suite.base))
        let error = #expect(throws: WeightsError.self) {
            try backbone.parameters(of: try TensorStore(opening: path))
        }
        #expect(error?.code == "input.quantized" && error?.tensor == "blocks.0.attn.qkv.weight")
        #expect(error?.message.contains("quantised (fp8): 2 tensors") == true)
    }
}
