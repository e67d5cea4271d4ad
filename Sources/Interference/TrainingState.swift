import Kernels
import Networks
import Synchronization
import TensorCore

/// The parameters of a student, the moments of its optimiser, and the shards that compute its gradient.
struct TrainingState: Sendable {
    let parameters: FloatBuffer
    private let firstMoment, secondMoment: FloatBuffer
    private let shards: [ResolverShard]
    private let resting: FrozenParameters
    /// The stretches of trained parameters that a worker adds up and updates at a time.
    private let chunks: [Range<Int>]
    private let plan: BatchPlan
    private let threads: Int

    /// The length of a stretch: 32 KiB an array.
    private static let chunkSize = 8192

    /// Takes memory for gradients and activations.
    ///
    /// - Parameter resting: what no step changes, because it is frozen or of no use to the inputs.
    /// - Throws: `NetworkError` and `IOError` when it is short.
    init(
        _ network: any Network, _ inputs: InputSet, from start: borrowing ResolverState, bank: HeadBank,
        resting: FrozenParameters, plan: BatchPlan, budget: ComputeBudget
    ) throws {
        parameters = start.parameters
        firstMoment = start.firstMoment
        secondMoment = start.secondMoment
        let trained = resting.trained(of: network.parameterCount)
        self.resting = resting
        chunks = trained.flatMap { $0.stretches(of: Self.chunkSize) }
        self.plan = plan
        threads = budget.threads
        let tokenCount = network.tokenCount(of: inputs)
        shards = try (0..<plan.shardCount).map { _ in
            try ResolverShard(
                network, bank: bank, trained: trained, pieceSize: plan.pieceSize, tokenCount: tokenCount)
        }
    }

    /// The vectors as they stand, not copied.
    func resolverState(trace: [ResolverStep], heldOut: HeldOutChecks?) -> ResolverState {
        ResolverState(
            parameters: parameters, firstMoment: firstMoment, secondMoment: secondMoment, trace: trace,
            heldOut: heldOut)
    }

    /// Computes the mean loss over some inputs and leaves the gradient in the shards, where it is asked for.
    func evaluate(
        _ objective: TeacherObjective, _ batch: LoadedInputs, slots: [Int], needsGradient: Bool = true
    ) -> LossTerms {
        let (inputs, rows) = (batch.inputs, batch.rows)
        // One shard alone has all threads inside of it.
        let team = shards.count > 1 ? 1 : threads
        parallel(count: shards.count, threads: threads) { shard in
            // Safety: each shard writes its own buffers, and the arrays outlive the calls.
            rows.withUnsafeBufferPointer { rows in
                slots.withUnsafeBufferPointer { slots in
                    guard let slots = slots.baseAddress else { return }
                    Team.lead(of: team) {
                        shards[shard].run(
                            parameters.pointer, objective: objective, inputs, rows: rows, slots: slots,
                            pieces: plan.pieces(of: shard, count: rows.count), needsGradient: needsGradient)
                    }
                }
            }
        }
        var total = LossTerms()
        for shard in shards { total += shard.terms }
        total.preservation /= Double(rows.count)
        total.interference /= Double(rows.count)
        return total
    }

    /// Adds the shards' gradients in their order and takes a step: one pass over memory, or two where the gradient is clipped.
    ///
    /// - Parameters:
    ///   - step: from 0.
    ///   - clipNorm: what a longer gradient is shortened to; nil leaves it as it is.
    /// - Returns: whether the gradient is finite; otherwise the student is of no use any more.
    func update(_ optimizer: AdamW, step: Int, learningRate: Double, clipNorm: Double?) -> Bool {
        let scale = clipNorm.map { shortening(to: $0) }
        let allFinite = Atomic<Bool>(true)
        parallel(count: chunks.count, threads: threads) { number in
            let (start, length) = (chunks[number].lowerBound, chunks[number].count)
            let gradient = scale == nil ? sumGradients(start, length) : shards[0].gradient.pointer + start
            if let scale, scale < 1 { for i in 0..<length { gradient[i] *= scale } }
            let isFinite = optimizer.update(
                parameters.pointer + start, gradient: gradient, firstMoment: firstMoment.pointer + start,
                secondMoment: secondMoment.pointer + start, N: length, step: step + 1, learningRate: learningRate)
            if !isFinite { allFinite.store(false, ordering: .relaxed) }
        }
        return allFinite.load(ordering: .relaxed)
    }

    /// Leaves the sum of the shards' gradients in the first, and says what it has to be multiplied by to be no longer than a norm.
    ///
    /// Squares are added up by chunk and the chunks in their order, so that the number of threads makes no difference.
    ///
    /// - Source: `torch.nn.utils.clip_grad_norm_`, norm type 2: `min(1, norm / (|g| + 1e-6))` over all trained parameters.
    private func shortening(to norm: Double) -> Float {
        let sum = parallelMap(count: chunks.count, threads: threads) { number in
            let length = chunks[number].count
            let gradient = sumGradients(chunks[number].lowerBound, length)
            var sum = 0.0
            for i in 0..<length { sum += Double(gradient[i]) * Double(gradient[i]) }
            return sum
        }.reduce(0, +)
        return Float(min(1, norm / (sum.squareRoot() + 1e-6)))
    }

    /// The gradient of the last batch, as a copy, with zeros where parameters rest.
    func gradient() -> [Float] {
        for chunk in chunks { _ = sumGradients(chunk.lowerBound, chunk.count) }
        clearRestingGradient()
        return shards[0].gradient.numbers
    }

    /// The first tensor whose gradient was not finite in the last update.
    func firstNonFiniteGradient(_ layout: ParameterLayout) -> TensorName? {
        clearRestingGradient()
        return layout.firstNonFiniteTensor(in: shards[0].gradient.pointer)
    }

    private func clearRestingGradient() {
        for range in resting.ranges {
            (shards[0].gradient.pointer + range.lowerBound).update(repeating: 0, count: range.count)
        }
    }

    /// Adds the other shards' gradients to those of the first.
    private func sumGradients(_ start: Int, _ count: Int) -> UnsafeMutablePointer<Float> {
        let total = shards[0].gradient.pointer + start
        for shard in shards.dropFirst() {
            let part = shard.gradient.pointer + start
            for i in 0..<count { total[i] += part[i] }
        }
        return total
    }
}
