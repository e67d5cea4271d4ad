import Checkpoints
import Experts
import TensorCore
import Testing
import TestSupport

@Suite struct QuantizedBackboneTests {
    private let folder = TemporaryFolder()

    /// The base of a suite with one matrix as codes, and scales of a shape.
    private func open(_ suite: PipelineSuite, scales: [Int]) throws -> TensorStore {
        var all = try tensors(of: suite.base)
        let place = try #require(all.firstIndex { $0.name == "blocks.0.attn.qkv.weight" })
        all[place].dtype = .f8E4M3
        all[place].bytes = Array(repeating: 0x38, count: all[place].bytes.count / 4)
        all.append(
            TestTensor("blocks.0.attn.qkv.weight_scale", scales, Array(repeating: 0.01, count: scales.reduce(1, *))))
        return try TensorStore(opening: try folder.checkpoint("q.safetensors", all))
    }

    @Test func aBackboneOfCodesAndScalesIsOneOfNumbers() throws {
        let suite = try PipelineSuite("tiny")
        let backbone = try Backbone(of: try TensorStore(opening: suite.base))
        #expect(throws: Never.self) { _ = try backbone.parameters(of: try open(suite, scales: [])) }
    }

    @Test func codesThatNobodyKnowsAreRefusedByName() throws {
        let suite = try PipelineSuite("tiny")
        let backbone = try Backbone(of: try TensorStore(opening: suite.base))
        let error = #expect(throws: WeightsError.self) {
            try backbone.parameters(of: try open(suite, scales: [3, 3]))
        }
        #expect(error?.code == "input.quantized" && error?.tensor == "blocks.0.attn.qkv.weight")
        #expect(error?.message.contains("quantised (fp8): 2 tensors") == true)
    }
}
