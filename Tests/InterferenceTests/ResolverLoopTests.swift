import Interference
import Kernels
import Networks
import Synchronization
import TensorCore
import TestSupport
import Testing

/// What the loop does beside the arithmetic of a step.
@Suite("resolver loop") struct ResolverLoopTests {
    let suite: Suite
    let task: Int

    init() throws {
        suite = try Suite("tiny")
        task = try #require(suite.heads.firstIndex { $0.name == "digits" })
    }

    func resolver(
        _ options: ResolverOptions, threads: Int = 2, network: (any Network)? = nil, heads: [TaskHead]? = nil,
        auxiliary: InputSet? = nil, outputs: Resolver.BaseOutputs = { _, compute in try compute() }
    ) throws -> Resolver {
        try Resolver(
            network: network ?? suite.transformer, base: suite.base, tasks: heads ?? suite.heads,
            auxiliary: try auxiliary ?? suite.images("aux_mixed.npz", limit: 100), options: options,
            budget: ComputeBudget(threads: threads), outputs: outputs)
    }

    func resolve(_ options: ResolverOptions, threads: Int = 2) throws -> TrainedStudent {
        try resolver(options, threads: threads).resolve(expert: try suite.expert("digits"), task: task)
    }

    // MARK: micro-batches

    @Test("any micro-batch gives the same gradient and losses within rounding", arguments: [1, 5, 8, 26, 27, 1000])
    func microBatches(_ size: Int) throws {
        var options = ResolverOptions(steps: 4, batchSize: 27)
        let (step, gradient) = try resolver(options).firstGradient(expert: try suite.expert("digits"), task: task)
        let whole = try resolve(options)
        options.microBatchSize = size
        let (otherStep, other) = try resolver(options).firstGradient(expert: try suite.expert("digits"), task: task)
        #expect(abs(otherStep.loss - step.loss) < 1e-6 * step.loss)
        #expect(largestDifference(gradient, other) < 1e-5 * (gradient.map(abs).max() ?? 0))
        for (a, b) in zip(try resolve(options).trace, whole.trace) { #expect(abs(a.loss - b.loss) < 1e-4 * b.loss) }
    }

    @Test("micro-batches give the same bits for any number of threads", arguments: [1, 5, 12])
    func microBatchThreads(_ size: Int) throws {
        let options = ResolverOptions(steps: 3, batchSize: 27, microBatchSize: size, clipNorm: 0.01)
        let one = try resolve(options, threads: 1)
        for threads in [2, 5] {
            let other = try resolve(options, threads: threads)
            #expect(other.parameters.numbers.map(\.bitPattern) == one.parameters.numbers.map(\.bitPattern))
            #expect(other.trace == one.trace)
        }
    }

    @Test("activations are those of a micro-batch")
    func microBatchMemory() throws {
        func capacities(_ options: ResolverOptions, activationCount: Int? = nil) throws -> [Int] {
            let network = WatchedNetwork(suite.transformer, activationCount: activationCount)
            _ = try resolver(options, network: network).firstGradient(expert: try suite.expert("digits"), task: task)
            return network.capacities.withLock { $0 }
        }
        #expect(try capacities(ResolverOptions(batchSize: 27)) == [4, 4, 4, 4, 4, 4, 4, 4])
        #expect(try capacities(ResolverOptions(batchSize: 27, microBatchSize: 5)) == [1, 1, 1, 1, 1])
        #expect(try capacities(ResolverOptions(batchSize: 27, microBatchSize: 12, shardCount: 4)) == [3, 3, 3, 3])
        // 1 GiB holds 8 shards of two inputs of 64 MiB, and of one of 100 MiB, or of more than there is.
        #expect(
            try capacities(ResolverOptions(batchSize: 27), activationCount: 16 << 20) == Array(repeating: 2, count: 8))
        #expect(
            try capacities(ResolverOptions(batchSize: 27), activationCount: 25 << 20) == Array(repeating: 1, count: 8))
        #expect(try capacities(ResolverOptions(batchSize: 2), activationCount: 1 << 40) == [1, 1])
    }

    @Test("the base is computed once for all experts, and an expert once for all its steps")
    func teachers() throws {
        let network = WatchedNetwork(suite.transformer)
        // 3 steps of 8 use 24 of 100 inputs.
        let resolver = try resolver(ResolverOptions(steps: 3, batchSize: 8), network: network)
        #expect(network.inferred.withLock { $0.sorted() } == Array(0..<24))
        for (place, head) in suite.heads.enumerated() {
            network.inferred.withLock { $0 = [] }
            _ = try resolver.resolve(expert: try suite.expert(head.name), task: place)
            #expect(network.inferred.withLock { $0.sorted() } == Array(0..<24))
        }
    }

    @Test("the base's outputs can be kept for others, who compute none and have the same bits")
    func keptTeachers() throws {
        let options = ResolverOptions(steps: 3, batchSize: 8, patience: 1, holdout: 0.05)
        var (kept, keptShape): (FloatBuffer?, Shape?)
        let first = try resolver(options) { shape, compute in
            let outputs = try compute()
            (kept, keptShape) = (outputs, shape)
            return outputs
        }
        // 24 inputs are trained on, and 5 looked at.
        #expect(keptShape == [29, suite.heads.reduce(0) { $0 + $1.head.classCount }])
        let logits = try #require(kept)
        let network = WatchedNetwork(suite.transformer)
        let second = try resolver(options, network: network) { shape, _ in
            #expect(shape == keptShape)
            return logits
        }
        #expect(network.inferred.withLock { $0.isEmpty })
        #expect(first.expectedSeconds() ?? 0 > 0 && second.expectedSeconds() == nil)
        let students = try [first, second].map { try $0.resolve(expert: try suite.expert("digits"), task: task) }
        #expect(students[0].parameters.numbers == students[1].parameters.numbers)
        #expect(students[0].trace == students[1].trace && students[0].heldOut == students[1].heldOut)
    }

    // MARK: clipping

    /// `torch.nn.utils.clip_grad_norm_` multiplies every gradient by min(1, norm / (|g| + 1e-6)), with |g| over all parameters, and AdamW's first
    /// moment after the first step is 0.1 g.
    @Test("a gradient longer than the norm is shortened to it", arguments: [1, 3])
    func clipping(threads: Int) throws {
        var options = ResolverOptions(steps: 1, batchSize: 27)
        let gradient = try resolver(options).firstGradient(expert: try suite.expert("digits"), task: task).gradient
        let length = gradient.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        options.clipNorm = length / 3
        let moment = Mutex<[Float]>([])
        _ = try resolver(options, threads: threads).resolve(
            expert: try suite.expert("digits"), task: task,
            saving: Resolver.Saving(every: nil) { state in
                let numbers = state.firstMoment.numbers
                moment.withLock { $0 = numbers }
            })
        let scale = Float(options.clipNorm / (length + 1e-6))
        let expected = gradient.map { 0.1 * scale * $0 }
        #expect(
            largestDifference(moment.withLock { $0 }, expected) < 1e-6 * (expected.map(abs).max() ?? 0))
        // A shorter one stays as it is, to the bit.
        options.clipNorm = length * 1.001
        let clipped = try resolve(options)
        options.clipNorm = 0
        #expect(try resolve(options).parameters.numbers == clipped.parameters.numbers)
    }

    // MARK: numbers that are none

    func failure(_ body: () throws -> Void) throws -> InterferenceError {
        let error = try #require(#expect(throws: InterferenceError.self) { try body() })
        #expect(error.code == "interference.diverged" && error.message.hasPrefix("expert \"digits\": "))
        return error
    }

    @Test("a loss that is no number is an error that names the step and the first bad weights")
    func badWeights() throws {
        let options = ResolverOptions(steps: 4, batchSize: 8)
        let entry = try #require(suite.transformer.layout["blocks.1.mlp.fc1.bias"])
        let trace = [ResolverStep(step: 0, loss: 1, preservation: 0, interference: 1)]
        let error = try failure {
            let state = try ResolverState(parameterCount: suite.base.count, trace: trace)
            _ = state.parameters.values.update(from: suite.base.values)
            for place in [entry.range.upperBound - 1, suite.base.count - 1] {
                state.parameters.values[place] = .infinity
            }
            _ = try resolver(options).resolve(expert: try suite.expert("digits"), task: task, from: state)
        }
        #expect(error.tensor == "blocks.1.mlp.fc1.bias")
        #expect(
            error.message.contains("the loss of step 2 of 4 is nan") && error.message.contains("blocks.1.mlp.fc1.bias"))
    }

    @Test("where weights are finite, a layer or the inputs are at fault")
    func badInputs() throws {
        let base = try FloatBuffer(suite.base.values)
        base.values[base.count - 1] = .nan
        let resolver = try Resolver(
            network: suite.transformer, base: base, tasks: suite.heads,
            auxiliary: try suite.images("aux_mixed.npz", limit: 10), options: ResolverOptions(steps: 2, batchSize: 4),
            budget: ComputeBudget(threads: 1))
        let error = try failure { _ = try resolver.resolve(expert: try suite.expert("digits"), task: task) }
        #expect(error.message.contains("the loss of step 1 of 2 is nan, although all weights are finite"))
        #expect(error.tensor == nil)
    }

    /// Squares of 1e20 fit into double precision, and their slopes times a head's weights of 1e20 do not fit into single precision.
    @Test("a gradient that is no number is an error that names its first tensor", arguments: [0, 1])
    func badGradient(clipNorm: Double) throws {
        let heads = try suite.heads.map { task in
            let head = task.head
            return TaskHead(
                name: task.name,
                head: try ClassificationHead(
                    name: task.name, weight: head.weight.map { $0 * (task.name == "digits" ? 1 : 1e20) },
                    classCount: head.classCount, bias: head.bias))
        }
        let options = ResolverOptions(steps: 2, batchSize: 4, distance: .mse, clipNorm: clipNorm)
        let error = try failure {
            _ = try resolver(options, heads: heads).resolve(expert: try suite.expert("digits"), task: task)
        }
        #expect(error.message.contains("the gradient of step 1 of 2 holds NaN or infinity, first in \"cls_token\""))
        #expect(error.tensor == "cls_token")
    }

    @Test("a last update that leaves no numbers is an error")
    func badUpdate() throws {
        let options = ResolverOptions(steps: 1, batchSize: 4, learningRate: 1e300)
        let error = try failure { _ = try resolve(options) }
        #expect(error.message.contains("the student after step 1 of 1 holds NaN or infinity, first in \"cls_token\""))
    }

    // MARK: early stopping

    /// A rate too high for so few inputs, so that the loss on other inputs soon rises.
    let hasty = ResolverOptions(
        steps: 60, batchSize: 16, learningRate: 3e-4, patience: 2, checkEvery: 4, holdout: 0.2)

    @Test("patience ends an expert, and keeps the student with the lowest loss on held-out inputs")
    func plateau() throws {
        let stopped = try resolve(hasty)
        let best = try #require(stopped.heldOut.min { $0.loss < $1.loss })
        #expect(!stopped.isCancelled && stopped.trace.count < 60)
        #expect(stopped.keptStep == best.step && best.step > 0)
        #expect(stopped.heldOut.map(\.step) == Array(stride(from: 0, through: stopped.trace.count, by: 4)))
        #expect(stopped.trace.count == best.step + 2 * 4)
        // What is kept is what as many steps give.
        var options = hasty
        options.steps = best.step
        let few = try resolve(options)
        #expect(few.parameters.numbers == stopped.parameters.numbers && few.keptStep == best.step)
        #expect(try resolve(hasty, threads: 1).parameters.numbers == stopped.parameters.numbers)
    }

    @Test("the last step is a check, and an expert that never gets better stays as it was")
    func lastCheck() throws {
        var options = ResolverOptions(steps: 7, batchSize: 16, patience: 5, checkEvery: 4)
        #expect(try resolve(options).heldOut.map(\.step) == [0, 4, 7])
        options.learningRate = 1
        let result = try resolve(options)
        #expect(result.keptStep == 0)
        #expect(try result.parameters.numbers == suite.expert("digits").numbers)
    }

    @Test("held-out inputs are trained on by no step")
    func split() throws {
        let all = try suite.images("aux_mixed.npz", limit: 40)
        guard case .images(let images) = all else { throw MissingFixture(name: "images") }
        var values = images.values
        let size = values.count / 40
        // A fifth of 40, evenly spread.
        for row in stride(from: 0, to: 40, by: 5) { for i in 0..<size { values[row * size + i] = 0.5 } }
        let changed = InputSet.images(try ImageSet(values: values, count: 40, shape: images.shape))
        let options = ResolverOptions(steps: 5, batchSize: 16, patience: 9, checkEvery: 5, holdout: 0.2)
        let results = try [.images(images), changed].map {
            try resolver(options, auxiliary: $0).resolve(expert: try suite.expert("digits"), task: task)
        }
        #expect(results[0].trace == results[1].trace)
        #expect(results[0].heldOut != results[1].heldOut)
    }

    @Test("one input cannot be both trained on and held out")
    func oneInput() throws {
        let error = #expect(throws: InterferenceError.self) {
            try resolver(hasty, auxiliary: try suite.images("aux_mixed.npz", limit: 1))
        }
        #expect(error?.code == "interference.bad_option")
    }

    // MARK: one shard

    @Test("one shard with a team computes the bits of one thread, clipped and stopped early")
    func team() throws {
        func resolve(threads: Int) throws -> TrainedStudent {
            try Resolver(
                network: suite.transformer, base: suite.base, tasks: suite.heads,
                auxiliary: try suite.images("aux_mixed.npz", limit: 60),
                options: ResolverOptions(
                    steps: 6, batchSize: 24, microBatchSize: 16, clipNorm: 0.5, patience: 2, checkEvery: 2,
                    shardCount: 1),
                budget: ComputeBudget(threads: threads)
            ).resolve(expert: try suite.expert("digits"), task: 1)
        }
        let alone = try resolve(threads: 1)
        for threads in [2, 5] {
            let shared = try resolve(threads: threads)
            #expect(shared.trace == alone.trace && shared.heldOut == alone.heldOut)
            let isSame = shared.parameters.numbers == alone.parameters.numbers
            #expect(isSame)
        }
    }

    // MARK: learning rate

    @Test("a rate that is not given is a hundredth of the task vector's root mean square, as if it had been given")
    func automaticRate() throws {
        let (base, expert) = (suite.base.numbers.map(Double.init), try suite.expert("digits").numbers.map(Double.init))
        let squares = zip(expert, base).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        let rate = 0.01 * (squares / Double(base.count)).squareRoot()
        #expect(rate > 1e-6)
        func resolve(_ rate: Double?, threads: Int) throws -> TrainedStudent {
            try Resolver(
                network: suite.transformer, base: suite.base, tasks: suite.heads,
                auxiliary: try suite.images("aux_mixed.npz", limit: 40),
                options: ResolverOptions(steps: 3, batchSize: 8, learningRate: rate),
                budget: ComputeBudget(threads: threads)
            ).resolve(expert: try suite.expert("digits"), task: 1)
        }
        let chosen = try resolve(nil, threads: 2)
        #expect(abs(chosen.learningRate - rate) < 1e-12 * rate)
        let isSame = try resolve(chosen.learningRate, threads: 1).parameters.numbers == chosen.parameters.numbers
        #expect(isSame)
    }

    // MARK: presets

    @Test("the paper's batch is 128, or 32 for networks of the size of ViT-L/14, until another is given")
    func paper() throws {
        let image = ImageShape(channels: 3, height: 224, width: 224)
        let base = try Transformer(
            TransformerConfig(
                stem: .patches(PatchStem(image: image, patchSize: 32)), hiddenSize: 768, layerCount: 12, headCount: 12,
                mlpSize: 3072))
        let large = try Transformer(
            TransformerConfig(
                stem: .patches(PatchStem(image: image, patchSize: 14)), hiddenSize: 1024, layerCount: 24,
                headCount: 16, mlpSize: 4096))
        var options = ResolverPreset.paper.options
        #expect(options.settled(for: base).batchSize == 128 && options.settled(for: large).batchSize == 32)
        #expect(options.settled(for: base) == ResolverOptions(steps: 2500, batchSize: 128, learningRate: 1e-6))
        options.batchSize = 128
        #expect(options.settled(for: large).batchSize == 128)
        #expect(ResolverOptions().settled(for: large) == ResolverOptions())
    }
}
