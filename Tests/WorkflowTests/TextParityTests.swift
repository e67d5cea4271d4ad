import Checkpoints
import Experts
import Interference
import Kernels
import Networks
import TensorCore
import TestSupport
import Testing

/// Against PyTorch's numbers of `Fixtures/suites/text` (`parity.json` says how they were made).
@Suite struct TextParityTests {
    private let suite: PipelineSuite
    private let fixture: SuiteFixture
    private let set: ExpertSet

    init() throws {
        suite = try PipelineSuite("text")
        fixture = try SuiteFixture("text")
        set = try suite.set()
    }

    @Test(arguments: ["base", "expert"]) func featuresAndLogits(of model: String) throws {
        let place = try #require(set.experts.firstIndex { $0.name == "cities" })
        let expert = set.experts[place]
        let inputs = try #require(expert.data?.inputs)
        let parameters = try set.backbone.parameters(of: model == "base" ? set.base : expert.store)
        let features = try set.backbone.network.features(
            parameters: parameters, inputs: inputs, rows: Array(0..<16), chunkSize: 16, budget: testBudget)
        func expected(_ name: String) throws -> [Double] {
            let store = try TensorStore(opening: suite.path("parity_reference.safetensors"))
            let bytes = try #require(try store.bytes(of: TensorName(name + ".float64")))
            return bytes.withUnsafeBytes { raw in
                (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
            }
        }
        func largestDifference(_ values: [Float], _ name: String) throws -> Double {
            let expected = try expected(name)
            try #require(values.count == expected.count)
            return zip(values, expected).map { abs(Double($0) - $1) }.max() ?? .infinity
        }
        #expect(try largestDifference(features, "features.\(model)") < 2e-5)
        for task in try set.tasks() {
            let logits = HeadBank([task.head]).logits(features: features)
            #expect(try largestDifference(logits, "logits.\(model).\(task.name)") < 2e-4)
        }
    }

    @Test func lossesOfTwentySteps() throws {
        let place = try #require(set.experts.firstIndex { $0.name == "cities" })
        let auxiliary = try AuxiliarySource(suite.path("aux_emoji.npz").string).inputs(
            for: set.backbone, in: testContext)
        let resolver = try Resolver(
            network: set.backbone.network, base: set.backbone.parameters(of: set.base), tasks: set.tasks(),
            auxiliary: auxiliary, options: ResolverOptions(steps: 20, batchSize: 48, learningRate: 1e-4),
            budget: testBudget)
        let trace = try resolver.resolve(
            expert: set.backbone.parameters(of: set.experts[place].store), task: place
        ).trace
        let expected = try #require(try fixture.json("parity.json")["loss_float64"]?.array).compactMap(\.double)
        try #require(trace.count == 20 && expected.count == 20)
        for (current, expected) in zip(trace, expected) {
            #expect(abs(current.loss - expected) < 1e-4 * expected, "step \(current.step)")
        }
    }
}
