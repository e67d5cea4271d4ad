import Interference
import Kernels
import Networks
import TensorCore
import Testing

@Suite("resolving in closed form") struct ClosedFormTests {
    private let budget = ComputeBudget(threads: 2)
    /// Four inputs, five hidden numbers, features of three.
    private let network: Perceptron
    private let tasks: [TaskHead]
    private let auxiliary: ImageSet

    init() throws {
        let shape = ImageShape(channels: 1, height: 2, width: 2)
        network = try Perceptron(PerceptronConfig(image: shape, layerSizes: [5, 3]))
        tasks = try [2, 1, 3].enumerated().map { number, classes in
            TaskHead(
                name: "\(number)",
                head: try ClassificationHead(
                    name: "\(number)", weight: Self.numbers(classes * 3, stream: UInt64(10 + number)),
                    classCount: classes, logitScale: 1.5))
        }
        auxiliary = try ImageSet(values: Self.numbers(7 * 4, stream: 20), count: 7, shape: shape)
    }

    private static func numbers(_ count: Int, stream: UInt64) -> [Float] {
        let generator = CounterGenerator(seed: 1, stream: stream)
        return (0..<count).map { Float(generator.uniform(UInt64($0)) - 0.4) }
    }

    private func parameters(_ stream: UInt64) throws -> FloatBuffer {
        try FloatBuffer(Self.numbers(network.parameterCount, stream: stream))
    }

    private func values(_ buffer: FloatBuffer, of name: TensorName) throws -> [Double] {
        let entry = try #require(network.layout[name])
        return withExtendedLifetime(buffer) { entry.range.map { Double(buffer.pointer[$0]) } }
    }

    private func adapted(
        _ solver: ResolverSolver, alpha: Double = 0.7
    ) throws -> (base: FloatBuffer, expert: FloatBuffer, result: FloatBuffer) {
        var options = ResolverOptions(alpha: alpha)
        options.solver = solver
        options.ridge = 0.05
        let (base, expert, result) = (try parameters(1), try parameters(2), try parameters(2))
        try ClosedFormResolver(
            network: network, base: base, tasks: tasks, auxiliary: solver == .ridge ? .images(auxiliary) : nil,
            options: options, budget: budget
        ).resolve(expert: result, task: 1)
        return (base, expert, result)
    }

    /// The loss as the file of the resolver states it, in plain loops: `H` Y squared over rows, with S of order n.
    private func loss(_ kept: [Double], _ change: [Double], S: [[Double]], alpha: Double, ridge: Double) -> Double {
        let n = S.count
        let E = zip(kept, change).map { $0 - $1 }
        func energy(_ task: Int, _ matrix: [Double]) -> Double {
            let head = tasks[task].head
            return (0..<head.classCount).reduce(0.0) { sum, row in
                let moved = (0..<n).map { k in
                    (0..<3).reduce(0.0) { $0 + 1.5 * Double(head.weight[row * 3 + $1]) * matrix[$1 * n + k] }
                }
                return sum + (0..<n * n).reduce(0.0) { $0 + moved[$1 / n] * S[$1 / n][$1 % n] * moved[$1 % n] }
            }
        }
        let ownMean = tasks[1].head.weight.reduce(0.0) { $0 + 2.25 * Double($1) * Double($1) } / 3
        let inputMean = (0..<n).reduce(0.0) { $0 + S[$1][$1] } / Double(n)
        return energy(1, E) + alpha / 2 * (energy(0, kept) + energy(2, kept))
            + ridge * ownMean * inputMean * E.reduce(0) { $0 + $1 * $1 }
    }

    /// What the last layer reads of the base: ReLU of the first, summed over the auxiliary inputs.
    private func moments(_ base: FloatBuffer) throws -> [[Double]] {
        let (weight, bias) = (try values(base, of: "layers.0.weight"), try values(base, of: "layers.0.bias"))
        var S = [[Double]](repeating: [Double](repeating: 0, count: 5), count: 5)
        for image in 0..<7 {
            let hidden = (0..<5).map { h in
                max(
                    0,
                    bias[h] + (0..<4).reduce(0.0) { $0 + weight[h * 4 + $1] * Double(auxiliary.values[image * 4 + $1]) }
                )
            }
            for i in 0..<5 { for j in 0..<5 { S[i][j] += hidden[i] * hidden[j] } }
        }
        return S
    }

    @Test(
        "finds where the gradient of the loss vanishes, by finite differences",
        arguments: [ResolverSolver.gram, .ridge])
    func minimum(_ solver: ResolverSolver) throws {
        let (base, expert, result) = try adapted(solver)
        let one = (0..<5).map { i in (0..<5).map { $0 == i ? 1.0 : 0 } }
        for (name, S) in [
            ("layers.1.weight" as TensorName, solver == .ridge ? try moments(base) : one), ("layers.1.bias", [[1.0]]),
        ] {
            let before = try values(base, of: name)
            let change = zip(try values(expert, of: name), before).map { $0 - $1 }
            let kept = zip(try values(result, of: name), before).map { $0 - $1 }
            func slope(at point: [Double], _ place: Int) -> Double {
                var (up, down) = (point, point)
                up[place] += 0.5
                down[place] -= 0.5
                // Exact for a quadratic function.
                return loss(up, change, S: S, alpha: 0.7, ridge: 0.05)
                    - loss(down, change, S: S, alpha: 0.7, ridge: 0.05)
            }
            for place in kept.indices { #expect(abs(slope(at: kept, place)) < 2e-5) }
            // The expert itself is not the minimum.
            #expect(kept.indices.contains { abs(slope(at: change, $0)) > 1e-2 })
        }
    }

    @Test("leaves what does not write to the stream, and everything without other heads or alpha")
    func untouched() throws {
        let (_, expert, result) = try adapted(.gram)
        for name in ["layers.0.weight", "layers.0.bias"] as [TensorName] {
            #expect(try values(result, of: name) == values(expert, of: name))
        }
        let same = try adapted(.ridge, alpha: 0)
        #expect(Array(same.result.numbers) == Array(same.expert.numbers))
        let alone = try parameters(2)
        try ClosedFormResolver(
            network: network, base: try parameters(1), tasks: [tasks[0]], auxiliary: nil,
            options: {
                var options = ResolverOptions(); options.solver = .gram; return options
            }(), budget: budget
        ).resolve(expert: alone, task: 0)
        #expect(Array(alone.numbers) == Array(same.expert.numbers))
    }

    @Test("names what writes to the stream of a vision transformer")
    func writers() throws {
        let writers = try Suite("tiny").transformer.streamWriters
        #expect(writers.width == 64 && writers.projection == nil)
        #expect(
            writers.writers.map { "\($0.entry.name)\($0.isProduct ? " x" : "")" } == [
                "cls_token", "patch_embed.proj.weight x", "patch_embed.proj.bias", "pos_embed",
                "blocks.0.attn.proj.weight x", "blocks.0.attn.proj.bias", "blocks.0.mlp.fc2.weight x",
                "blocks.0.mlp.fc2.bias", "blocks.1.attn.proj.weight x", "blocks.1.attn.proj.bias",
                "blocks.1.mlp.fc2.weight x", "blocks.1.mlp.fc2.bias",
            ])
    }

    @Test("padding is no input of a weight")
    func padding() throws {
        let network = try Transformer(
            TransformerConfig(
                stem: .words(WordStem(vocabulary: 9, positionCount: 8, typeCount: 0)), hiddenSize: 4, layerCount: 2,
                headCount: 2,
                mlpSize: 6, blockNorm: .after, pooling: .mean, finalNorm: nil))
        let parameters = try FloatBuffer(Self.numbers(network.parameterCount, stream: 30))
        let plain = try TokenSet(ids: [1, 2, 3, 4, 5, 6], count: 2, length: 3)
        let padded = try TokenSet(
            ids: [1, 2, 3, 0, 0, 4, 5, 6, 0, 0],
            isWord: [true, true, true, false, false, true, true, true, false, false], count: 2, length: 5)
        let moments = try [plain, padded].map { tokens in
            let sums = try ProductMoments(
                network, of: network.observedWeights, inputs: .tokens(tokens), purpose: .observation)
            try sums.addAll(parameters: parameters, inputs: .tokens(tokens), threads: budget.threads)
            return sums.moments
        }
        #expect(moments.map(\.count) == [8, 8])
        for (moment, other) in zip(moments[0], moments[1]) {
            #expect(moment.weight == other.weight && moment.rowCount == 6 && other.rowCount == 6)
            #expect(moment.sum.values.contains { $0 > 0.01 })
            #expect(largestDifference(moment.sum.values.map(Float.init), other.sum.values.map(Float.init)) < 1e-5)
        }
    }

    @Test("heads of a drift read it in units of itself, and leave out what is beyond the share")
    func drift() throws {
        let (base, expert) = (try parameters(1), try parameters(2))
        let inputs = InputSet.images(auxiliary)
        let heads = try DriftHeads(network: network, base: base, auxiliary: inputs, share: 0.9, budget: budget)
        let head = try heads.head(of: expert, name: "t").head
        let before = try network.features(parameters: base, inputs: inputs, budget: budget)
        let after = try network.features(parameters: expert, inputs: inputs, budget: budget)
        let drift = zip(after, before).map { Double($0) - Double($1) }
        let outputs = (0..<7).map { x in
            (0..<head.classCount).map { row in
                (0..<3).reduce(0.0) { $0 + Double(head.weight[row * 3 + $1]) * drift[x * 3 + $1] }
            }
        }
        for i in 0..<head.classCount {
            for j in 0..<head.classCount {
                let mean = outputs.reduce(0.0) { $0 + $1[i] * $1[j] } / 7
                #expect(abs(mean - (i == j ? 1 : 0)) < 1e-4)
            }
        }
        // Row i has the length λ_i^(-1/2), so its share of the energy is one over its square.
        let energies = (0..<head.classCount).map { row -> Double in
            let numbers = head.weight[row * 3..<row * 3 + 3].map(Double.init)
            return 1 / numbers.reduce(0) { $0 + $1 * $1 }
        }
        let total = drift.reduce(0) { $0 + $1 * $1 } / 7
        #expect(energies.reduce(0, +) >= 0.9 * total && energies.dropLast().reduce(0, +) < 0.9 * total)
        let still = try heads.head(of: base, name: "t").head
        #expect(still.classCount == 1 && still.weight.allSatisfy { $0 == 0 })
    }
}
