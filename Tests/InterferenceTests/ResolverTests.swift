import Interference
import Kernels
import Networks
import TensorCore
import Synchronization
import TestSupport
import Testing

@Suite("resolver") struct ResolverTests {
    let suite: Suite

    init() throws { suite = try Suite("tiny") }

    func run(
        threads: Int, options: ResolverOptions, tasks: [TaskHead]? = nil,
        progress: (ResolverStep) -> Bool = { _ in true }
    ) throws -> TrainedStudent {
        let tasks = tasks ?? suite.heads
        let resolver = try Resolver(
            network: suite.transformer, base: suite.base, tasks: tasks,
            auxiliary: try suite.images("aux_mixed.npz", limit: 100), options: options,
            budget: ComputeBudget(threads: threads))
        let own = tasks.firstIndex { $0.name == "digits" } ?? 0
        return try resolver.resolve(expert: try suite.expert("digits"), task: own, progress: progress)
    }

    @Test("one, two and five threads give the same bits")
    func threadCount() throws {
        // 27 images do not fill eight shards evenly, and 100 inputs make the batches wrap.
        let options = ResolverOptions(steps: 6, batchSize: 27, shuffle: true, seed: 3)
        let one = try run(threads: 1, options: options)
        for threads in [2, 5] {
            let other = try run(threads: threads, options: options)
            #expect(other.parameters.numbers.map(\.bitPattern) == one.parameters.numbers.map(\.bitPattern))
            #expect(other.trace == one.trace)
        }
    }

    @Test("a batch smaller than the number of shards")
    func smallBatch() throws {
        let few = try run(threads: 2, options: ResolverOptions(steps: 3, batchSize: 3))
        let single = try run(threads: 2, options: ResolverOptions(steps: 3, batchSize: 3, shardCount: 1))
        for (a, b) in zip(few.trace, single.trace) { #expect(abs(a.loss - b.loss) < 1e-4 * b.loss) }
    }

    @Test("one task has no interference term")
    func singleTask() throws {
        let digits = suite.heads.filter { $0.name == "digits" }
        let result = try run(
            threads: 2, options: ResolverOptions(steps: 3, batchSize: 16, weightDecay: 0), tasks: digits)
        #expect(result.trace.allSatisfy { $0.interference == 0 })
        // The head's product over all teachers rounds differently from that over a shard.
        #expect(abs(result.trace[0].loss) < 1e-12)
        #expect(result.trace.count == 3)
    }

    @Test("the loss falls, under every distance", arguments: Distance.allCases)
    func distances(_ distance: Distance) throws {
        let options = ResolverOptions(steps: 15, batchSize: 50, distance: distance, schedule: .cosine)
        let trace = try run(threads: 2, options: options).trace
        #expect(trace[14].loss < trace[0].loss)
    }

    @Test("a callback that answers false stops the run")
    func cancellation() throws {
        let result = try run(threads: 1, options: ResolverOptions(steps: 9, batchSize: 8)) { $0.step < 2 }
        #expect(result.isCancelled && result.trace.map(\.step) == [0, 1, 2])
        let whole = try run(threads: 1, options: ResolverOptions(steps: 2, batchSize: 8))
        #expect(!whole.isCancelled)
    }

    @Test(
        "options out of range",
        arguments: [
            ResolverOptions(steps: 0), ResolverOptions(batchSize: 0), ResolverOptions(batchSize: .max),
            ResolverOptions(learningRate: 0), ResolverOptions(learningRate: .nan), ResolverOptions(weightDecay: -1),
            ResolverOptions(alpha: .infinity), ResolverOptions(shardCount: 0), ResolverOptions(microBatchSize: 0),
            ResolverOptions(warmupSteps: -1), ResolverOptions(clipNorm: -1), ResolverOptions(clipNorm: .nan),
            ResolverOptions(patience: -1), ResolverOptions(checkEvery: 0), ResolverOptions(holdout: 0),
            ResolverOptions(holdout: 0.6), ResolverOptions(temperatures: Temperatures(teacher: 0)),
            ResolverOptions(temperatures: Temperatures(student: 101)), ResolverOptions(startScale: -1),
            ResolverOptions(startScale: .nan),
        ])
    func badOptions(_ options: ResolverOptions) {
        let error = #expect(throws: InterferenceError.self) { try options.validate() }
        #expect(error?.code == "interference.bad_option")
    }
}

@Suite("resolver state") struct ResolverStateTests {
    let suite: Suite

    init() throws { suite = try Suite("tiny") }

    func resolver(_ options: ResolverOptions, threads: Int) throws -> Resolver {
        try Resolver(
            network: suite.transformer, base: suite.base, tasks: suite.heads,
            auxiliary: try suite.images("aux_mixed.npz", limit: 60), options: options,
            budget: ComputeBudget(threads: threads))
    }

    /// The vectors and the trace of a state, which cannot be copied itself.
    struct Kept {
        let vectors: [[Float]]
        let trace: [ResolverStep]
        let heldOut: (losses: [HeldOutLoss], best: [Float])?

        init(_ state: borrowing ResolverState) {
            vectors = [state.parameters, state.firstMoment, state.secondMoment].map { Array($0.values) }
            trace = state.trace
            heldOut = state.heldOut.map { ($0.losses, $0.best.numbers) }
        }

        func state() throws -> ResolverState {
            let heldOut = try heldOut.map { kept in
                let checks = try HeldOutChecks(parameterCount: kept.best.count, losses: kept.losses)
                _ = checks.best.values.update(from: kept.best)
                return checks
            }
            let state = try ResolverState(parameterCount: vectors[0].count, trace: trace, heldOut: heldOut)
            _ = state.parameters.values.update(from: vectors[0])
            _ = state.firstMoment.values.update(from: vectors[1])
            _ = state.secondMoment.values.update(from: vectors[2])
            return state
        }
    }

    /// 60 inputs in batches of 13: every pass ends in the middle of a batch.
    @Test(
        "from any state an adaptation ends in the same bits",
        arguments: [
            ResolverOptions(steps: 7, batchSize: 13),
            ResolverOptions(steps: 7, batchSize: 13, schedule: .cosine, shuffle: true, seed: 5),
            ResolverOptions(steps: 7, batchSize: 13, weightDecay: 0, alpha: 2, distance: .mse, schedule: .linear),
            ResolverOptions(
                steps: 7, batchSize: 13, temperatures: Temperatures(teacher: 1, student: 2), startScale: 0.5),
            ResolverOptions(steps: 7, batchSize: 13, microBatchSize: 3, warmupSteps: 4, clipNorm: 0.05),
            ResolverOptions(steps: 7, batchSize: 13, learningRate: 3e-4, patience: 2, checkEvery: 1, holdout: 0.2),
        ])
    func goesOn(_ options: ResolverOptions) throws {
        let task = try #require(suite.heads.firstIndex { $0.name == "digits" })
        let whole = try resolver(options, threads: 1).resolve(expert: try suite.expert("digits"), task: task)
        let saved = Mutex<[Kept]>([])
        let watched = try resolver(options, threads: 2).resolve(
            expert: try suite.expert("digits"), task: task,
            saving: Resolver.Saving(every: 2) { state in
                let kept = Kept(state)
                saved.withLock { $0.append(kept) }
            })
        let states = saved.withLock { $0 }
        #expect(watched.parameters.numbers == whole.parameters.numbers && watched.trace == whole.trace)
        // Every second step, and the last.
        let last = whole.trace.count
        #expect(states.map(\.trace.count) == Array(stride(from: 2, to: last, by: 2)) + [last])
        for (kept, threads) in zip(states, [5, 2, 1, 1]) {
            let rest = try resolver(options, threads: threads).resolve(
                expert: try suite.expert("digits"), task: task, from: try kept.state())
            #expect(rest.parameters.numbers.map(\.bitPattern) == whole.parameters.numbers.map(\.bitPattern))
            #expect(rest.trace == whole.trace && !rest.isCancelled)
            #expect(rest.heldOut == whole.heldOut && rest.keptStep == whole.keptStep)
        }
    }

    @Test("without an interval only the end is saved, and a failure to save is one of the adaptation")
    func saves() throws {
        let counts = Mutex<[Int]>([])
        let options = ResolverOptions(steps: 3, batchSize: 8)
        _ = try resolver(options, threads: 1).resolve(
            expert: try suite.expert("digits"), task: 0,
            saving: Resolver.Saving(every: nil) { state in
                let count = state.step
                counts.withLock { $0.append(count) }
            })
        #expect(counts.withLock { $0 } == [3])
        struct Full: Error {}
        #expect(throws: Full.self) {
            try resolver(options, threads: 1).resolve(
                expert: try suite.expert("digits"), task: 0, saving: Resolver.Saving(every: 2) { _ in throw Full() })
        }
    }
}

@Suite("resolver options") struct ResolverOptionTests {
    @Test("every option has a name of its own and a text that does not depend on how it is computed")
    func texts() {
        let options = ResolverOptions(
            steps: 10, microBatchSize: 16, learningRate: 1e-5, weightDecay: 0.1, alpha: 2, distance: .reverseKL,
            temperatures: Temperatures(student: 3), startScale: 0.5, freeze: ["a.*", "b"], schedule: .linear,
            warmupSteps: 3, clipNorm: 1, patience: 4, shuffle: true, seed: .max)
        #expect(
            ResolverOption.all.map { "\($0.name)=\($0.text(in: options))" } == [
                "solver=train", "match=logits", "steps=10", "batch_size=64", "micro_batch_size=16",
                "learning_rate=1e-05", "weight_decay=0.1", "alpha=2.0", "ridge=0.1", "drift_share=0.99",
                "distance=reverse_kl", "teacher_temperature=1.0", "student_temperature=3.0",
                "start_scale=0.5", "freeze=a.* b", "schedule=linear", "warmup_steps=3", "clip_norm=1.0", "patience=4",
                "check_every=10", "holdout=0.1", "shuffle=true", "seed=18446744073709551615",
            ])
        #expect(ResolverOption.microBatchSize.defaultText == "auto")
        #expect(ResolverOption.freeze.defaultText == "none")
    }

    @Test("what has no effect is warned of")
    func warnings() {
        #expect(ResolverOptions().warnings.isEmpty)
        #expect(
            ResolverOptions(
                steps: 5, alpha: 2, temperatures: Temperatures(teacher: 2), warmupSteps: 5, patience: 1, checkEvery: 3,
                holdout: 0.2
            ).warnings.isEmpty)
        let idle = ResolverOptions(
            steps: 5, distance: .crossEntropy, temperatures: Temperatures(teacher: 2, student: 2), warmupSteps: 6,
            checkEvery: 3, holdout: 0.2)
        #expect(idle.warnings.map(\.code) == Array(repeating: "interference.no_effect", count: 4))
        #expect(idle.warnings.map { $0.text.prefix(7) } == ["holdout", "check_e", "the lea", "teacher"])
    }
}

@Suite("auxiliary batches") struct AuxiliaryBatchesTests {
    @Test("sequential batches wrap")
    func sequential() {
        var batches = AuxiliaryBatches(inputCount: 5, batchSize: 3, order: .sequential)
        #expect((0..<4).map { batches.rows(step: $0) } == [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1]])
    }

    @Test("shuffled batches visit every input once a pass, in orders that differ and repeat with the seed")
    func shuffled() {
        func passes(_ seed: UInt64) -> [[Int]] {
            var batches = AuxiliaryBatches(inputCount: 7, batchSize: 3, order: .shuffled(seed: seed))
            let rows = (0..<7).flatMap { batches.rows(step: $0) }
            return (0..<3).map { Array(rows[7 * $0..<7 * ($0 + 1)]) }
        }
        for pass in passes(1) { #expect(pass.sorted() == Array(0..<7)) }
        #expect(Set(passes(1)).count == 3)
        #expect(passes(1) == passes(1) && passes(1) != passes(2))
    }

    @Test("noise is standard normal and does not depend on threads")
    func noise() throws {
        let shape = ImageShape(channels: 3, height: 9, width: 9)
        let noise = try noiseImages(count: 501, of: shape, seed: 1, budget: ComputeBudget(threads: 1))
        let again = try noiseImages(count: 501, of: shape, seed: 1, budget: ComputeBudget(threads: 5))
        #expect(noise.values == again.values && noise.count == 501)
        // 121,743 numbers: a standard error of 0.003 for the mean, 0.004 for the variance.
        let n = Double(noise.values.count)
        let mean = noise.values.reduce(0.0) { $0 + Double($1) } / n
        let moments = noise.values.reduce(into: (0.0, 0.0)) {
            $0.0 += Double($1) * Double($1)
            $0.1 += Double($1) * Double($1) * Double($1) * Double($1)
        }
        #expect(abs(mean) < 0.012 && abs(moments.0 / n - 1) < 0.016 && abs(moments.1 / n - 3) < 0.12)
    }
}
