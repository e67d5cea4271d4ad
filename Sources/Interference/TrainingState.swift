import Kernels
import Networks
import TensorCore

/// The parameters of a student, the moments of its optimiser, and the shards that compute its gradient.
struct TrainingState: Sendable {
    let parameters: FloatBuffer
    private let firstMoment, secondMoment: FloatBuffer
    private let shards: [ResolverShard]
    private let batchSize: Int
    private let threads: Int

    /// The stretch of parameters that a worker adds up and updates at a time: 32 KiB an array.
    private static let chunkSize = 8192

    init(
        _ network: any Network, _ inputs: InputSet, from start: borrowing ResolverState, bank: HeadBank,
        options: ResolverOptions, budget: ComputeBudget
    ) throws {
        parameters = start.parameters
        firstMoment = start.firstMoment
        secondMoment = start.secondMoment
        batchSize = options.batchSize
        threads = budget.threads
        let count = options.shardCount(parameterCount: parameters.count)
        let batchSize = options.batchSize
        shards = try (0..<count).map { shard in
            try ResolverShard(
                network, inputs, bank: bank, capacity: Self.range(of: shard, count, batchSize).count)
        }
    }

    /// The vectors as they stand, not copied.
    func resolverState(trace: [ResolverStep]) -> ResolverState {
        ResolverState(
            parameters: parameters, firstMoment: firstMoment, secondMoment: secondMoment, trace: trace)
    }

    /// Computes the loss over a batch and leaves the gradient in the shards.
    func evaluate(
        _ objective: InterferenceObjective, _ inputs: InputSet, rows: [Int], slots: [Int]
    ) -> LossTerms {
        let count = shards.count
        parallel(count: count, threads: threads) { shard in
            // Safety: each shard writes its own buffers, and the arrays outlive the calls.
            rows.withUnsafeBufferPointer { rows in
                slots.withUnsafeBufferPointer { slots in
                    guard let slots = slots.baseAddress else { return }
                    shards[shard].run(
                        parameters.pointer, objective: objective, inputs, rows: rows, slots: slots,
                        range: Self.range(of: shard, count, batchSize), batchSize: batchSize)
                }
            }
        }
        var total = LossTerms()
        for shard in shards {
            total.preservation += shard.terms.preservation
            total.interference += shard.terms.interference
        }
        total.preservation /= Double(batchSize)
        total.interference /= Double(batchSize)
        return total
    }

    /// Adds the shards' gradients in their order and takes a step, one pass over memory.
    ///
    /// - Parameter step: from 0.
    func update(_ optimizer: AdamW, step: Int, learningRate: Double) {
        let N = parameters.count
        parallel(count: (N + Self.chunkSize - 1) / Self.chunkSize, threads: threads) { chunk in
            let start = chunk * Self.chunkSize
            let length = min(Self.chunkSize, N - start)
            let total = sumGradients(start, length)
            optimizer.update(
                parameters.pointer + start, gradient: total, firstMoment: firstMoment.pointer + start,
                secondMoment: secondMoment.pointer + start, N: length, step: step + 1, learningRate: learningRate)
        }
    }

    /// The gradient of the last batch, as a copy.
    func gradient() -> [Float] {
        Array(UnsafeBufferPointer(start: sumGradients(0, parameters.count), count: parameters.count))
    }

    /// Adds the other shards' gradients to those of the first.
    private func sumGradients(_ start: Int, _ count: Int) -> UnsafePointer<Float> {
        let total = shards[0].gradient.pointer + start
        for shard in shards.dropFirst() {
            let part = shard.gradient.pointer + start
            for i in 0..<count { total[i] += part[i] }
        }
        return UnsafePointer(total)
    }

    /// The positions of a shard in the batch: sizes differ by one at most.
    private static func range(of shard: Int, _ count: Int, _ batchSize: Int) -> Range<Int> {
        shard * batchSize / count..<(shard + 1) * batchSize / count
    }
}
