import Experts
import Glibc
import Interference
import Kernels
import Networks
import SystemPackage
import TensorCore

extension BenchmarkCase {
    /// One forward and backward pass of a student over a batch, the distances under all heads, and the optimiser's step;
    /// teachers are cached.
    static let riStep = BenchmarkCase(
        name: "ri-step",
        question: "How long does a step of Resolving Interference take, and how much of it are matrix products?",
        options:
            "[--suite Fixtures/suites/eight-tasks | --shape \(StepSetting.shapeNames)] [--threads N] [--steps N] [--batch-size N] [--shards N]"
    ) { options in
        let shape = options.text("shape", default: "")
        let setting =
            shape.isEmpty
            ? try StepSetting(suite: FilePath(options.text("suite", default: "Fixtures/suites/eight-tasks")))
            : try StepSetting(shape: shape)
        let budget = try options.budget()
        let steps = try options.number("steps", default: shape.isEmpty ? 300 : 5)
        let batchSize = try options.number("batch-size", default: setting.batchSize)
        var settings = ResolverOptions(steps: steps + 1, batchSize: batchSize, learningRate: 1e-6)
        if !options.text("shards", default: "").isEmpty {
            settings.shardCount = try options.number("shards", default: 1)
        }
        let shards = settings.shardCount(parameterCount: setting.network.parameterCount)
        let resolver = try Resolver(
            network: setting.network, base: setting.base, tasks: setting.tasks, auxiliary: setting.auxiliary,
            options: settings, budget: budget)
        var moments: [Moment] = []
        let result = try resolver.resolve(expert: setting.expert, task: 0) { _ in
            moments.append(Moment())
            return true
        }
        // The first step begins with the teachers, and with memory that nobody has touched.
        let step = Series(zip(moments, moments.dropFirst()).map { Measurement(from: $0, to: $1) })
        print(
            "\(setting.network.parameterCount) parameters, \(setting.tasks.count) heads, batch \(batchSize), \(shards) shards, "
                + "\(budget.threads) threads, \(steps) steps, last loss \(fixed(result.trace.last?.loss ?? 0, 6))")
        for (label, run) in [("fastest", step.best), ("median", step.median)] {
            print(
                "\(label): \(fixed(1e3 * run.wallSeconds, 2)) ms a step, \(fixed(1e3 * run.processorSeconds, 2)) ms of processor"
            )
        }
        try printProducts(
            stepProducts(
                setting.config, tokenCount: setting.network.tokenCount(of: setting.auxiliary),
                batchSize: batchSize / shards), shards: shards, step: step.best, budget)
    }
}

/// What a step needs: a suite of `Fixtures/suites`, or random weights in the shape of a published model.
private struct StepSetting {
    let config: TransformerConfig
    let network: Transformer
    let tasks: [TaskHead]
    let base: FloatBuffer
    /// The first task's.
    let expert: FloatBuffer
    let auxiliary: InputSet
    let batchSize: Int

    init(suite folder: FilePath) throws {
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
        guard let transformer = set.backbone.network as? Transformer, case .images(let shape) = transformer.input
        else { throw BenchmarkUsage(message: "the suite has no vision transformer") }
        config = transformer.config
        network = transformer
        tasks = set.experts.compactMap(\.task)
        base = try set.backbone.parameters(of: set.base)
        expert = try set.backbone.parameters(of: set.experts[0].store)
        auxiliary = .images(
            try ImageFile(
                folder.appending("aux_mixed.npz"), of: shape,
                normalization: set.backbone.normalization
            ).images)
        batchSize = 64
    }

    /// Sizes of published models, and how many inputs a step has.
    private static let shapes: [(name: String, config: TransformerConfig, batchSize: Int)] = [
        ("vit-b32", clip(width: 768, layers: 12, patchSize: 32, projection: 512), 16),
        ("vit-l14", clip(width: 1024, layers: 24, patchSize: 14, projection: 768), 4),
        (
            "minilm",
            TransformerConfig(
                stem: .words(WordStem(vocabulary: 30522, positionCount: 512, typeCount: 2)), hiddenSize: 384,
                layerCount: 6, headCount: 12, mlpSize: 1536, layerNormEps: 1e-12, blockNorm: .after, preNorm: true,
                pooling: .mean, finalNorm: nil), 32
        ),
    ]

    private static func clip(width: Int, layers: Int, patchSize: Int, projection: Int) -> TransformerConfig {
        TransformerConfig(
            stem: .patches(
                PatchStem(
                    image: ImageShape(channels: 3, height: 224, width: 224), patchSize: patchSize, hasBias: false)),
            hiddenSize: width, layerCount: layers, headCount: width / 64, mlpSize: 4 * width, layerNormEps: 1e-5,
            activation: .quickGELU, preNorm: true, projectionSize: projection)
    }

    static var shapeNames: String { shapes.map(\.name).joined(separator: "|") }

    /// Eight heads of 16 classes, as `real_shapes.py` has them.
    init(shape name: String) throws {
        guard let shape = Self.shapes.first(where: { $0.name == name }) else {
            throw BenchmarkUsage(message: "there is no shape \(name): \(Self.shapeNames)")
        }
        config = shape.config
        batchSize = shape.batchSize
        let transformer = try Transformer(shape.config)
        network = transformer
        let generator = CounterGenerator(seed: 0, stream: 1)
        func random(_ count: Int, from place: Int, scale: Float) -> [Float] {
            (0..<count).map { scale * Float(generator.normalPair(UInt64(place + $0)).0) }
        }
        base = try FloatBuffer(random(transformer.parameterCount, from: 0, scale: 0.02))
        for entry in transformer.layout.entries where entry.name.description.contains("norm") {
            let isWeight = entry.name.description.hasSuffix("weight")
            for place in entry.range { base.values[place] = isWeight ? 1 : 0 }
        }
        expert = try FloatBuffer(base.values)
        for place in expert.values.indices { expert.values[place] *= place % 3 == 0 ? 1.01 : 1 }
        tasks = try (0..<8).map { number in
            let weight = random(16 * transformer.featureSize, from: number << 40, scale: 0.1)
            return TaskHead(
                name: "task \(number)",
                head: try ClassificationHead(name: "task \(number)", weight: weight, classCount: 16))
        }
        switch transformer.input {
        case .images(let image):
            auxiliary = .images(
                try noiseImages(count: shape.batchSize, of: image, seed: 1, budget: ComputeBudget(threads: 1)))
        case .tokens(let tokens):
            let length = 32
            auxiliary = .tokens(
                try TokenSet(
                    ids: (0..<shape.batchSize * length).map { Int32($0 * 7919 % tokens.vocabulary) },
                    count: shape.batchSize, length: length))
        }
    }
}

/// One product of a layer: `[M, K] [K, N]`, as often as a step has it.
private struct StepProduct {
    enum Kind: String { case forward, weights, inputs }

    let layer: String
    let kind: Kind
    let count: Int
    let M, N, K: Int

    var flops: Double { 2 * Double(M) * Double(N) * Double(K) * Double(count) }

    /// The operands of the kind, in memory that holds them.
    func multiply(
        _ a: FloatBuffer, _ b: FloatBuffer, into out: FloatBuffer, byOpenBLAS: Bool = false
    ) {
        let left: MatrixView<Float> =
            kind == .weights ? .transposed(a.pointer, stride: M) : .rows(a.pointer, stride: K)
        let right: MatrixView<Float> =
            kind == .forward ? .transposed(b.pointer, stride: K) : .rows(b.pointer, stride: N)
        if byOpenBLAS {
            multiplyAlone(M, N, K, left, right, into: out.pointer, stride: N)
        } else {
            Kernels.multiply(M, N, K, left, right, into: out.pointer, stride: N)
        }
    }
}

/// The products of the layers of one shard; those of attention, between tokens, are left out.
private func stepProducts(_ config: TransformerConfig, tokenCount T: Int, batchSize B: Int) -> [StepProduct] {
    let (C, M) = (config.hiddenSize, config.mlpSize)
    var products: [StepProduct] = []
    func add(_ layer: String, _ count: Int, rows: Int, from width: Int, to outputs: Int, hasInputs: Bool = true) {
        guard count > 0 else { return }
        products.append(StepProduct(layer: layer, kind: .forward, count: count, M: rows, N: outputs, K: width))
        products.append(StepProduct(layer: layer, kind: .weights, count: count, M: outputs, N: width, K: rows))
        guard hasInputs else { return }
        products.append(StepProduct(layer: layer, kind: .inputs, count: count, M: rows, N: width, K: outputs))
    }
    let keepsClass = config.pooling == .cls
    let blocks = keepsClass ? config.layerCount - 1 : config.layerCount
    if case .patches(let stem) = config.stem {
        add("patches", 1, rows: B * T, from: stem.image.elementCount / stem.patchCount, to: C, hasInputs: false)
    }
    add("qkv", blocks, rows: B * T, from: C, to: 3 * C)
    add("proj", blocks, rows: B * T, from: C, to: C)
    add("fc1", blocks, rows: B * T, from: C, to: M)
    add("fc2", blocks, rows: B * T, from: M, to: C)
    if keepsClass { add("last kv", 1, rows: B * T, from: C, to: 2 * C) }
    return products
}

/// Prints what the products of a step take alone, beside OpenBLAS on as many threads, each with a product of its own.
private func printProducts(
    _ products: [StepProduct], shards: Int, step: Measurement, _ budget: ComputeBudget
) throws {
    print("layer    kind      M x N x K            count  GFLOP/s  OpenBLAS  ratio")
    var (seconds, reference, flops) = (0.0, 0.0, 0.0)
    for product in products {
        let (M, N, K) = (product.M, product.N, product.K)
        let operands = try (0..<budget.threads).map { _ in
            (try FloatBuffer(count: M * K), try FloatBuffer(count: K * N), try FloatBuffer(count: M * N))
        }
        for (a, b, _) in operands {
            a.values.update(repeating: 0.5)
            b.values.update(repeating: 0.25)
        }
        let repeats = max(1, Int(3e8 / (2 * Double(M) * Double(N) * Double(K))))
        let own = Series(runs: 5) {
            if shards == 1 {
                Team.lead(of: budget.threads) {
                    for _ in 0..<repeats * budget.threads {
                        product.multiply(operands[0].0, operands[0].1, into: operands[0].2)
                    }
                }
            } else {
                parallel(count: budget.threads, threads: budget.threads) { worker in
                    let (a, b, out) = operands[worker]
                    for _ in 0..<repeats { product.multiply(a, b, into: out) }
                }
            }
        }
        let other = Series(runs: 5) {
            parallel(count: budget.threads, threads: budget.threads) { worker in
                let (a, b, out) = operands[worker]
                for _ in 0..<repeats { product.multiply(a, b, into: out, byOpenBLAS: true) }
            }
        }
        let work = 2 * Double(M) * Double(N) * Double(K) * Double(repeats * budget.threads)
        let (rate, otherRate) = (work / own.best.wallSeconds, work / other.best.wallSeconds)
        seconds += product.flops * Double(shards) / rate
        reference += product.flops * Double(shards) / otherRate
        flops += product.flops * Double(shards)
        func column(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(1, width - text.count))
        }
        print(
            column(product.layer, 9) + column(product.kind.rawValue, 10) + column("\(M) x \(N) x \(K)", 21)
                + column("\(product.count)", 7) + column(fixed(rate * 1e-9, 1), 9)
                + column(fixed(otherRate * 1e-9, 1), 10) + fixed(rate / otherRate, 2))
    }
    print(
        "products alone: \(fixed(1e3 * seconds, 1)) ms (\(fixed(flops / seconds * 1e-9, 1)) GFLOP/s), "
            + "\(fixed(100 * seconds / step.wallSeconds, 0)) % of the fastest step; OpenBLAS \(fixed(1e3 * reference, 1)) ms "
            + "(\(fixed(flops / reference * 1e-9, 1)) GFLOP/s)")
}
