import Interference
import Kernels
import Networks
import TensorCore
import TestSupport
import Testing

/// Rows of the word embedding that no auxiliary text has.
@Suite("words that no text has") struct UnusedWordsTests {
    let network: Transformer
    let base, expert: FloatBuffer
    let tasks: [TaskHead]
    /// Words 1 to 6 of 9.
    let texts: InputSet

    init() throws {
        network = try Transformer(
            TransformerConfig(
                stem: .words(WordStem(vocabulary: 9, positionCount: 8, typeCount: 0)), hiddenSize: 4, layerCount: 2,
                headCount: 2, mlpSize: 6, blockNorm: .after, pooling: .mean, finalNorm: nil))
        func numbers(_ count: Int, stream: UInt64) -> [Float] {
            let generator = CounterGenerator(seed: 7, stream: stream)
            return (0..<count).map { Float(generator.normalPair(UInt64($0)).0) }
        }
        base = try FloatBuffer(numbers(network.parameterCount, stream: 1))
        expert = try FloatBuffer(
            zip(base.values, numbers(network.parameterCount, stream: 2)).map { $0 + 0.1 * $1 })
        tasks = try (0..<2).map { task in
            TaskHead(
                name: "task \(task)",
                head: try ClassificationHead(
                    name: "task \(task)", weight: numbers(12, stream: 3 + UInt64(task)), classCount: 3))
        }
        texts = .tokens(try TokenSet(ids: [1, 2, 3, 4, 5, 6, 6, 5, 1, 2, 2, 4], count: 4, length: 3))
    }

    func train(
        _ options: ResolverOptions, hidesUnused: Bool, threads: Int = 2, of other: Transformer? = nil
    ) throws -> TrainedStudent {
        try Resolver(
            network: WatchedNetwork(other ?? network, hidesUnused: hidesUnused), base: base, tasks: tasks,
            auxiliary: texts,
            options: options, budget: ComputeBudget(threads: threads)
        ).resolve(expert: try FloatBuffer(expert.numbers), task: 0)
    }

    @Test("they are the rows of no text that is asked for")
    func rows() throws {
        let table = try #require(network.layout["word_embed.weight"]).range
        func words(_ rows: [Int]) -> [Int] {
            network.unusedParameters(by: texts, rows: rows).flatMap { $0 }.map { ($0 - table.lowerBound) / 4 }
        }
        #expect(words([0, 1, 2, 3]) == [0, 7, 8].flatMap { Array(repeating: $0, count: 4) })
        #expect(words([0, 3]) == [0, 5, 6, 7, 8].flatMap { Array(repeating: $0, count: 4) })
    }

    @Test("training gives the same bits whether they are passed over or not", arguments: [1, 2], [0, 0.01])
    func sameBits(shardCount: Int, clipNorm: Double) throws {
        let options = ResolverOptions(
            steps: 5, batchSize: 4, learningRate: 1e-5, clipNorm: clipNorm, shardCount: shardCount)
        let (one, other) = (try train(options, hidesUnused: false), try train(options, hidesUnused: true))
        #expect(one.parameters.numbers.map(\.bitPattern) == other.parameters.numbers.map(\.bitPattern))
        #expect(one.trace == other.trace)
        #expect(one.parameters.numbers != expert.numbers)
    }

    @Test("nor does that of padding have a gradient, although texts have it", arguments: [0, 0.5])
    func padding(weightDecay: Double) throws {
        var config = network.config
        config.stem = .words(WordStem(vocabulary: 9, positionCount: 8, typeCount: 0, paddingRow: 2))
        let padded = try Transformer(config)
        let row = try #require(network.layout["word_embed.weight"]).range.lowerBound + 2 * 4
        #expect(padded.unusedParameters(by: texts, rows: [0, 3]).contains(row..<row + 4))
        let options = ResolverOptions(steps: 3, batchSize: 4, learningRate: 1e-3, weightDecay: weightDecay)
        let students = try [false, true].map { try train(options, hidesUnused: $0, of: padded).parameters.numbers }
        #expect(students[0] == students[1])
        let kept = Float(1 - 1e-3 * weightDecay)
        for place in row..<row + 4 {
            #expect(students[0][place] == (0..<3).reduce(expert.values[place]) { value, _ in value * kept })
        }
        // Otherwise it has one.
        let other = try train(options, hidesUnused: false).parameters.numbers
        #expect((row..<row + 4).allSatisfy { other[$0] != students[0][$0] })
    }

    @Test("weight decay that is more than rounding reaches them")
    func weightDecay() throws {
        let options = ResolverOptions(steps: 3, batchSize: 4, learningRate: 1e-3, weightDecay: 0.5)
        let student = try train(options, hidesUnused: false)
        let unused = network.unusedParameters(by: texts, rows: [0, 1, 2, 3]).flatMap { $0 }
        #expect(unused.count == 12)
        let rates = (0..<3).map { 1e-3 * options.schedule.factor(step: $0, of: 3, warmup: options.warmupSteps) }
        for place in unused {
            let expected = rates.reduce(expert.values[place]) { $0 * Float(1 - $1 * 0.5) }
            #expect(student.parameters.values[place] == expected)
        }
    }
}
