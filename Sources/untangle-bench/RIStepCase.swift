import Experts
import Interference
import Kernels
import Networks
import SystemPackage
import TensorCore

extension BenchmarkCase {
    /// One forward and backward pass of a student over a batch, the distances under all heads, and the optimiser's step;
    /// teachers are cached.
    static let riStep = BenchmarkCase(
        name: "ri-step", question: "How long does a step of Resolving Interference take, beside plain matrix products?",
        options:
            "[--suite Fixtures/suites/eight-tasks] [--threads N] [--steps 60] [--batch-size 64] [--shards 8] [--runs 5]"
    ) { options in
        let suite = try Suite(FilePath(options.text("suite", default: "Fixtures/suites/eight-tasks")))
        let budget = try options.budget()
        let steps = try options.number("steps", default: 60)
        let batchSize = try options.number("batch-size", default: 64)
        let shards = try options.number("shards", default: 8)
        let runs = try options.number("runs", default: 5)
        let resolver = try Resolver(
            network: suite.network, base: suite.base, tasks: suite.tasks, auxiliary: suite.auxiliary,
            options: ResolverOptions(steps: steps, batchSize: batchSize, shardCount: shards), budget: budget)
        let expert = suite.expert
        var loss = 0.0
        // A run has a warm end: the first step's clock starts when the teachers are done.
        let series = try Series(runs: runs) {
            let result = try resolver.resolve(expert: FloatBuffer(expert.values), task: 0)
            loss = result.trace.last?.loss ?? 0
        }
        let teacher = try Series(runs: runs) {
            _ = try suite.network.features(parameters: expert, inputs: suite.auxiliary, budget: budget)
        }
        let flops = stepFlops(suite.network.config, suite.stem, batchSize: batchSize)
        print(
            "\(suite.tasks.count) heads, batch \(batchSize), \(shards) shards, \(budget.threads) threads, \(steps) steps, "
                + "last loss \(fixed(loss, 6))")
        for (label, run, pass) in [("best", series.best, teacher.best), ("median", series.median, teacher.median)] {
            // A run begins with one pass of the expert over the auxiliary inputs, which is not part of a step.
            let wall = (run.wallSeconds - pass.wallSeconds) / Double(steps)
            let processor = (run.processorSeconds - pass.processorSeconds) / Double(steps)
            print(
                "\(label): \(fixed(1e3 * wall, 2)) ms/step wall, \(fixed(1e3 * processor, 2)) ms/step CPU, "
                    + "\(fixed(flops / wall * 1e-9, 1)) GFLOP/s (teacher pass over \(suite.auxiliary.count) images "
                    + "\(fixed(1e3 * pass.wallSeconds, 0)) ms)")
        }
        let ceiling = try productCeiling(budget)
        print("ceiling: \(fixed(ceiling * 1e-9, 1)) GFLOP/s, \(budget.threads) products of 512 x 512 x 512 at once")
    }
}

/// What the step needs of a suite of `Fixtures/suites`.
private struct Suite {
    let network: Transformer
    /// How images become tokens.
    let stem: PatchStem
    let tasks: [TaskHead]
    let base: FloatBuffer
    /// The first task's.
    let expert: FloatBuffer
    let auxiliary: InputSet

    init(_ folder: FilePath) throws {
        let names = [
            "fashion_tops", "fashion_gear", "digits", "latin_lower", "greek", "cyrillic", "devanagari", "gratings",
        ]
        let set = try ExpertSet(
            base: folder.appending("base.safetensors"),
            experts: names.map {
                ExpertFiles(
                    name: $0, checkpoint: folder.appending("expert_\($0).safetensors"),
                    head: folder.appending("heads_\($0).safetensors"))
            })
        guard let transformer = set.backbone.network as? Transformer, case .patches(let stem) = transformer.config.stem
        else { throw BenchmarkUsage(message: "the suite has no vision transformer") }
        network = transformer
        self.stem = stem
        tasks = set.experts.compactMap(\.task)
        base = try set.backbone.parameters(of: set.base)
        expert = try set.backbone.parameters(of: set.experts[0].store)
        auxiliary = .images(
            try ImageFile(
                folder.appending("aux_mixed.npz"), of: stem.image,
                normalization: set.backbone.normalization
            ).images)
    }
}

/// The floating-point operations of the matrix products of one step; the last block's class token is counted as computed.
private func stepFlops(_ config: TransformerConfig, _ stem: PatchStem, batchSize: Int) -> Double {
    let (T, C, M) = (Double(stem.tokenCount), Double(config.hiddenSize), Double(config.mlpSize))
    let patch = Double(stem.image.elementCount / stem.patchCount)
    var perImage = 2 * T * patch * C * 2
    for block in 0..<config.layerCount {
        let R = block == config.layerCount - 1 && config.pooling == .cls ? 1 : T
        // Forward once, backward twice.
        perImage += 3 * 2 * (T * 2 * C * C + R * C * C + 2 * R * T * C + R * C * C + 2 * R * C * M)
    }
    return perImage * Double(batchSize)
}

/// What the threads reach together on matrix products that fit the second-level cache.
private func productCeiling(_ budget: ComputeBudget) throws -> Double {
    let (size, repeats) = (512, 20)
    let buffers = try (0..<3 * budget.threads).map { _ in try FloatBuffer(count: size * size) }
    for buffer in buffers { buffer.values.update(repeating: 0.02) }
    let series = Series(runs: 5) {
        parallel(count: budget.threads, threads: budget.threads) { worker in
            for _ in 0..<repeats {
                multiply(
                    size, size, size, .rows(buffers[3 * worker].pointer, stride: size),
                    .transposed(buffers[3 * worker + 1].pointer, stride: size),
                    into: buffers[3 * worker + 2].pointer, stride: size)
            }
        }
    }
    let flops = 2 * Double(size) * Double(size) * Double(size) * Double(repeats * budget.threads)
    return flops / series.best.wallSeconds
}
