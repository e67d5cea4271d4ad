import Checkpoints
import Glibc
import Interference
import Kernels
import Networks
import Synchronization
import TensorCore
import TestSupport
import Testing

/// Against `Fixtures/suites/tiny/distill.json`, which `distill_reference.py` has made with PyTorch in double precision.
@Suite("distilling and variants, against PyTorch") struct VariantParityTests {
    let suite: Suite
    let reference: JSONValue
    let digits: Int

    init() throws {
        suite = try Suite("tiny")
        reference = try suite.fixture.json("distill.json")
        digits = try #require(suite.heads.firstIndex { $0.name == "digits" })
    }

    /// What the script trains with.
    let options = ResolverOptions(steps: 8, batchSize: 24, learningRate: 1e-4)

    func resolver(_ options: ResolverOptions, frozen: FrozenParameters = FrozenParameters()) throws -> Resolver {
        try Resolver(
            network: suite.transformer, base: suite.base, tasks: suite.heads,
            auxiliary: try suite.images("aux_mixed.npz"), options: options, frozen: frozen,
            budget: ComputeBudget(threads: 2))
    }

    func compareLosses(_ trace: [ResolverStep], _ expected: JSONValue?) throws {
        let losses = try #require(expected?.array).compactMap(\.double)
        try #require(losses.count == 8 && trace.count == 8)
        for (current, loss) in zip(trace, losses) {
            #expect(abs(current.loss - loss) < 1e-4 * loss, "step \(current.step)")
        }
    }

    /// Compares the dot product of a tensor's change with cos(0), cos(1), ..., its length, and the length of the first gradient.
    func compareTensors(
        _ result: TrainedStudent, from start: FloatBuffer, gradient: [Float]? = nil, _ expected: JSONValue?
    ) throws {
        for entry in suite.transformer.layout.entries {
            let figures = try #require(expected?[entry.name.text]?.array).compactMap(\.double)
            var (dot, square, slope) = (0.0, 0.0, 0.0)
            for (index, place) in entry.range.enumerated() where !suite.isKeyBias(entry.name, index) {
                let change = Double(result.parameters.values[place]) - Double(start.values[place])
                dot += change * cos(Double(index))
                square += change * change
                let gradient = Double(gradient?[place] ?? 0)
                slope += gradient * gradient
            }
            // A weight whose gradient is near zero may go either way at first.
            #expect(abs(dot - figures[0]) < 5e-3 * figures[1] + 1e-9, "\(entry.name)")
            #expect(abs(square.squareRoot() - figures[1]) <= 2e-3 * figures[1], "\(entry.name)")
            guard gradient != nil else { continue }
            #expect(abs(slope.squareRoot() - figures[2]) <= 1e-4 * figures[2], "\(entry.name)")
        }
    }

    @Test("a merged model and a teacher for every head")
    func distils() throws {
        let merged = try suite.merged()
        let distiller = try suite.distiller(options)
        let (step, gradient) = try distiller.firstGradient(merged: try FloatBuffer(merged.values))
        let result = try distiller.distil(merged: try FloatBuffer(merged.values), base: nil)
        let expected = reference["distill"]
        #expect(step == result.trace[0] && step.interference == 0 && step.preservation == step.loss)
        try compareLosses(result.trace, expected?["losses"])
        try compareTensors(result, from: merged, gradient: gradient, expected?["tensors"])
    }

    @Test("the half of a task vector, without interference, between two temperatures: DisTaC")
    func conditions() throws {
        var options = options
        options.alpha = 0
        options.startScale = 0.5
        options.temperatures = Temperatures(teacher: 2, student: 5)
        let expert = try suite.expert("digits")
        let result = try resolver(options).resolve(expert: try FloatBuffer(expert.values), task: digits)
        let half = zip(suite.base.numbers, expert.numbers).map { Float((Double($0) + Double($1)) / 2) }
        try compareLosses(result.trace, reference["distac"]?["losses"])
        try compareTensors(result, from: try FloatBuffer(half), reference["distac"]?["tensors"])
    }

    @Test("tensors that are frozen")
    func freezes() throws {
        let frozen = try suite.frozen(["pos_embed", "blocks.0.attn.qkv.weight"])
        let expert = try suite.expert("digits")
        let resolver = try resolver(options, frozen: frozen)
        let gradient = try resolver.firstGradient(expert: try FloatBuffer(expert.values), task: digits).gradient
        let result = try resolver.resolve(expert: try FloatBuffer(expert.values), task: digits)
        try compareLosses(result.trace, reference["frozen"]?["losses"])
        try compareTensors(result, from: expert, gradient: gradient, reference["frozen"]?["tensors"])
    }

    @Test("every distance between two temperatures", arguments: Distance.allCases)
    func temperatures(_ distance: Distance) throws {
        var options = options
        options.distance = distance
        options.temperatures = Temperatures(teacher: 0.5, student: 3)
        let trace = try resolver(options).resolve(expert: try suite.expert("digits"), task: digits).trace
        try compareLosses(trace, reference[distance.rawValue])
    }
}

@Suite("distiller") struct DistillerTests {
    let suite: Suite

    init() throws { suite = try Suite("tiny") }

    let options = ResolverOptions(steps: 6, batchSize: 27, learningRate: 1e-4, shuffle: true, seed: 2)

    @Test("the gradient against a central difference of the loss")
    func gradient() throws {
        let merged = try suite.merged()
        let distiller = try suite.distiller(options)
        let gradient = try distiller.firstGradient(merged: merged).gradient.map(Double.init)
        let length = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
        func loss(_ step: Double) throws -> Double {
            let moved = zip(merged.numbers, gradient).map { Float(Double($0) + step * $1 / length) }
            return try distiller.firstGradient(merged: try FloatBuffer(moved)).step.loss
        }
        // Third derivatives cancel in the combination of two steps.
        let (near, far) = (
            (try loss(0.005) - loss(-0.005)) / 0.01, (try loss(0.01) - loss(-0.01)) / 0.02
        )
        #expect(abs((4 * near - far) / 3 - length) < 2e-3 * length)
    }

    @Test("an expert alone is at distance 0 from itself")
    func single() throws {
        let trace = try suite.distiller(ResolverOptions(steps: 1, batchSize: 16), tasks: ["digits"])
            .distil(merged: try suite.expert("digits"), base: suite.base).trace
        #expect(abs(trace[0].loss) < 1e-12)
    }

    @Test("the rate is a hundredth of the root mean square of the distance from the base")
    func rate() throws {
        let merged = try suite.merged()
        let squares = zip(merged.numbers, suite.base.numbers).reduce(0.0) {
            $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1))
        }
        let rate = 0.01 * (squares / Double(merged.count)).squareRoot()
        let result = try suite.distiller(ResolverOptions(steps: 1, batchSize: 4)).distil(
            merged: merged, base: suite.base)
        #expect(abs(result.learningRate - rate) < 1e-9 * rate)
    }

    @Test("any number of threads, and any state on the way, lead to the same bits")
    func goesOn() throws {
        let whole = try suite.distiller(options, threads: 1).distil(merged: try suite.merged(), base: nil)
        let kept = Mutex<(parameters: [Float], moments: [[Float]], trace: [ResolverStep])?>(nil)
        let saving = Resolver.Saving(every: 4) { state in
            guard state.step == 4 else { return }
            let found = (
                state.parameters.numbers, [state.firstMoment.numbers, state.secondMoment.numbers], state.trace
            )
            kept.withLock { $0 = found }
        }
        let other = try suite.distiller(options, threads: 5).distil(
            merged: try suite.merged(), base: nil, saving: saving)
        let isSame = other.parameters.numbers == whole.parameters.numbers
        #expect(isSame && other.trace == whole.trace)
        let found = try #require(kept.withLock { $0 })
        let state = try ResolverState(parameterCount: whole.parameters.count, trace: found.trace)
        _ = state.parameters.values.update(from: found.parameters)
        _ = state.firstMoment.values.update(from: found.moments[0])
        _ = state.secondMoment.values.update(from: found.moments[1])
        let rest = try suite.distiller(options).distil(merged: try suite.merged(), base: nil, from: state)
        let isRest = rest.parameters.numbers == whole.parameters.numbers
        #expect(isRest && rest.trace == whole.trace)
    }

    @Test("a loss that is no number is told of the merged model")
    func diverges() throws {
        let merged = try suite.merged()
        merged.values[merged.count - 1] = .nan
        let error = #expect(throws: InterferenceError.self) {
            try suite.distiller(options).distil(merged: merged, base: nil)
        }
        #expect(error?.code == "interference.diverged")
        #expect(error?.message.hasPrefix("the merged model: the loss of step 1 of 6 is nan") == true)
    }
}

@Suite("frozen parameters") struct FrozenParametersTests {
    @Test("stretches are joined, and the others lie between them")
    func ranges() {
        let frozen = FrozenParameters([7..<9, 0..<2, 4..<4, 8..<10, 2..<3])
        #expect(frozen.ranges == [0..<3, 7..<10])
        #expect(frozen.trained(of: 12) == [3..<7, 10..<12] && frozen.trained(of: 10) == [3..<7])
        #expect(frozen.contains(8..<10) && !frozen.contains(6..<8) && !frozen.contains(2..<8))
        #expect(FrozenParameters().trained(of: 5) == [0..<5])
        #expect(FrozenParameters([0..<5]).trained(of: 5).isEmpty)
    }

    let suite: Suite

    init() throws { suite = try Suite("tiny") }

    func resolver(_ options: ResolverOptions, _ frozen: FrozenParameters, threads: Int = 2) throws -> Resolver {
        try Resolver(
            network: suite.transformer, base: suite.base, tasks: suite.heads,
            auxiliary: try suite.images("aux_mixed.npz", limit: 60), options: options, frozen: frozen,
            budget: ComputeBudget(threads: threads))
    }

    /// All but the last entry.
    var frozen: FrozenParameters {
        FrozenParameters(suite.transformer.layout.entries.dropLast().map(\.range))
    }

    @Test("they keep their bits, whatever the decay, the start and the threads", arguments: [1, 5])
    func bits(threads: Int) throws {
        let expert = try suite.expert("digits")
        let options = ResolverOptions(
            steps: 3, batchSize: 9, weightDecay: 0.5, startScale: 0.5, clipNorm: 0.1, patience: 2, checkEvery: 1)
        let result = try resolver(options, frozen, threads: threads)
            .resolve(expert: try FloatBuffer(expert.values), task: 1)
        let last = try #require(suite.transformer.layout.entries.last).range
        let (new, old) = (result.parameters.numbers, expert.numbers)
        let isKept = new[..<last.lowerBound] == old[..<last.lowerBound]
        #expect(isKept)
        let isTrained = new[last] != old[last]
        #expect(isTrained)
    }

    @Test("neither the norm of a gradient nor the rate counts them")
    func norms() throws {
        let expert = try suite.expert("digits")
        let last = try #require(suite.transformer.layout.entries.last).range
        let gradient = try resolver(ResolverOptions(batchSize: 9), FrozenParameters())
            .firstGradient(expert: expert, task: 1).gradient[last].map(Double.init)
        let length = gradient.reduce(0) { $0 + $1 * $1 }.squareRoot()
        let options = ResolverOptions(steps: 1, batchSize: 9, clipNorm: length / 3)
        let moment = Mutex<[Float]>([])
        let result = try resolver(options, frozen).resolve(
            expert: try FloatBuffer(expert.values), task: 1,
            saving: Resolver.Saving(every: nil) { state in
                let numbers = state.firstMoment.numbers
                moment.withLock { $0 = numbers }
            })
        let expected = gradient.map { Float(0.1 * $0 * (length / 3) / (length + 1e-6)) }
        let moments = moment.withLock { $0 }
        #expect(largestDifference(moments[last], expected) < 1e-5 * (expected.map(abs).max() ?? 0))
        #expect(moments[..<last.lowerBound].allSatisfy { $0 == 0 })
        let squares = last.reduce(0.0) {
            let change = Double(expert.values[$1]) - Double(suite.base.values[$1])
            return $0 + change * change
        }
        let rate = 0.01 * (squares / Double(last.count)).squareRoot()
        #expect(abs(result.learningRate - rate) < 1e-9 * rate)
    }

    @Test("something has to be left to train")
    func everything() {
        let error = #expect(throws: InterferenceError.self) {
            try resolver(ResolverOptions(), FrozenParameters([0..<suite.base.count]))
        }
        #expect(error?.code == "interference.bad_option")
    }
}

extension Suite {
    /// `base + 0.3 * Σ task vectors`, as `distill_reference.py` has it.
    func merged() throws -> FloatBuffer {
        let experts = try heads.map { try expert($0.name).numbers }
        return try FloatBuffer(
            base.numbers.enumerated().map { place, base in
                Float(Double(base) + 0.3 * experts.reduce(0) { $0 + Double($1[place]) - Double(base) })
            })
    }

    func distiller(_ options: ResolverOptions, tasks: [String]? = nil, threads: Int = 2) throws -> Distiller {
        let heads = heads.filter { tasks?.contains($0.name) ?? true }
        return try Distiller(
            network: transformer, tasks: heads, auxiliary: try images("aux_mixed.npz"), options: options,
            budget: ComputeBudget(threads: threads)
        ) { try expert(heads[$0].name) }
    }

    func frozen(_ names: [TensorName]) throws -> FrozenParameters {
        FrozenParameters(try names.map { try #require(transformer.layout[$0]).range })
    }
}
