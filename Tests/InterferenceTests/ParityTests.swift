import Interference
import Kernels
import Networks
import TensorCore
import TestSupport
import Testing

/// Against PyTorch's numbers of `Fixtures/suites/tiny` (`parity.json` says how they were made).
@Suite("parity with PyTorch") struct ParityTests {
    let suite: Suite
    let budget = ComputeBudget(threads: 2)

    init() throws { suite = try Suite("tiny") }

    @Test("features and logits of base and expert", arguments: ["base", "expert"])
    func outputs(model: String) throws {
        let parameters = model == "base" ? suite.base : try suite.expert("digits")
        let images = try suite.images("test_digits.npz", limit: 16)
        let features = try suite.transformer.features(parameters: parameters, inputs: images, budget: budget)
        let reference = "parity_reference.safetensors"
        let expected = try suite.fixture.floats(reference, [TensorName("features.\(model).float32")])
        #expect(largestDifference(features, expected) < 2e-4)
        for task in suite.heads {
            let logits = HeadBank([task.head]).logits(features: features)
            let expected = try suite.fixture.floats(reference, [TensorName("logits.\(model).\(task.name).float32")])
            #expect(largestDifference(logits, expected) < 2e-4)
        }
    }

    /// The run of `parity.json`.
    func resolver() throws -> Resolver {
        try Resolver(
            network: suite.transformer, base: suite.base, tasks: suite.heads,
            auxiliary: try suite.images("aux_mixed.npz"),
            options: ResolverOptions(steps: 20, batchSize: 48, learningRate: 1e-4),
            budget: budget)
    }

    @Test("the losses and the weights of twenty steps")
    func steps() throws {
        let result = try resolver().resolve(expert: try suite.expert("digits"), task: 1)
        let parity = try suite.fixture.json("parity.json")
        func series(_ key: String) -> [Double] { parity[key]?.array?.compactMap(\.double) ?? [] }
        let (losses, own, others) = (series("loss_float64"), series("own_float64"), series("others_float64"))
        try #require(losses.count == 20 && result.trace.count == 20)
        for (step, current) in result.trace.enumerated() {
            #expect(abs(current.loss - losses[step]) < 1e-4 * losses[step], "step \(step)")
            // The first preservation is zero in exact arithmetic.
            #expect(abs(current.preservation - own[step]) < 1e-4 * own[step] + 1e-9, "step \(step)")
            #expect(abs(current.interference - others[step]) < 1e-4 * others[step], "step \(step)")
        }
        let adapted = result.parameters.numbers
        var noiseCount = 0
        for entry in suite.transformer.layout.entries {
            let expected = try suite.fixture.floats(
                "parity_reference.safetensors", [TensorName("adapted_float64." + entry.name.text)])
            // AdamW divides a gradient by its size, also one that is nothing but rounding: PyTorch's own F32 is away from F64 there.
            let gradient = try suite.fixture.floats("parity_grad0.safetensors", [entry.name])
            let kept = expected.indices.filter { !suite.isKeyBias(entry.name, $0) && abs(gradient[$0]) > 1e-7 }
            noiseCount += expected.indices.count { !suite.isKeyBias(entry.name, $0) && abs(gradient[$0]) <= 1e-7 }
            let difference = largestDifference(
                kept.map { adapted[entry.range.lowerBound + $0] }, kept.map { expected[$0] })
            #expect(difference < 3e-5, "\(entry.name)")
        }
        #expect(noiseCount < 10)
    }

    @Test("the first gradient")
    func firstGradient() throws {
        let (step, gradient) = try resolver().firstGradient(expert: try suite.expert("digits"), task: 1)
        #expect(abs(step.loss - 0.77444520276755) < 1e-6)
        for entry in suite.transformer.layout.entries {
            let expected = try suite.fixture.floats("parity_grad0.safetensors", [entry.name])
            var (error, norm) = (0.0, 0.0)
            for (index, value) in expected.enumerated() where !suite.isKeyBias(entry.name, index) {
                let difference = Double(gradient[entry.range.lowerBound + index]) - Double(value)
                error += difference * difference
                norm += Double(value) * Double(value)
            }
            #expect(error.squareRoot() < 1e-4 * norm.squareRoot(), "\(entry.name)")
        }
    }

    @Test("the losses of the eight-task suite's first twenty steps")
    func eightTasks() throws {
        let suite = try Suite("eight-tasks")
        let task = try #require(suite.heads.firstIndex { $0.name == "greek" })
        let resolver = try Resolver(
            network: suite.transformer, base: suite.base, tasks: suite.heads,
            auxiliary: try suite.images("aux_mixed.npz"), options: ResolverOptions(steps: 20, learningRate: 1e-4),
            budget: budget)
        let trace = try resolver.resolve(expert: try suite.expert("greek"), task: task).trace
        let reference = try #require(try suite.fixture.json("reference.json")["ri_loss_at_steps"]?["greek"])
        var compared = 0
        for current in trace {
            guard let expected = reference[String(current.step + 1)]?.double else { continue }
            #expect(abs(current.loss - expected) < 1e-3 * expected, "step \(current.step)")
            compared += 1
        }
        #expect(compared == 11)
    }
}
