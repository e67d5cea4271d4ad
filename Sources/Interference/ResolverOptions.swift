import Kernels
public import Networks

/// How one expert is adapted. Defaults are those that the eight-task suite was measured with.
public struct ResolverOptions: Sendable, Hashable {
    public var steps: Int
    public var batchSize: Int
    public var learningRate: Double
    public var weightDecay: Double
    /// The weight of the interference term, the mean over the other heads.
    public var alpha: Double
    public var distance: Distance
    public var schedule: LearningRateSchedule
    public var order: AuxiliaryBatches.Order
    /// The parts of a batch that are computed apart and added in order; nil chooses by the size of the model.
    ///
    /// Results depend on this number in the last bits, and never on the number of threads.
    public var shardCount: Int?

    public init(
        steps: Int = 250, batchSize: Int = 64, learningRate: Double = 1e-4, weightDecay: Double = 1e-4,
        alpha: Double = 1, distance: Distance = .kl, schedule: LearningRateSchedule = .constant,
        order: AuxiliaryBatches.Order = .sequential, shardCount: Int? = nil
    ) {
        self.steps = steps
        self.batchSize = batchSize
        self.learningRate = learningRate
        self.weightDecay = weightDecay
        self.alpha = alpha
        self.distance = distance
        self.schedule = schedule
        self.order = order
        self.shardCount = shardCount
    }

    /// The paper's recipe for CLIP vision transformers (arXiv:2603.13467).
    public static let paper = ResolverOptions(steps: 2500, batchSize: 128, learningRate: 1e-6)

    /// The number of shards that a run uses.
    ///
    /// Eight keep the activations of a small model's shard in the second-level cache and serve up to eight cores; above
    /// 32 million parameters four, because every shard holds a gradient of its own.
    public func shardCount(parameterCount: Int) -> Int {
        min(shardCount ?? (parameterCount <= 32 << 20 ? 8 : 4), batchSize)
    }

    /// Checks every option against its range.
    ///
    /// - Throws: `InterferenceError` `interference.bad_option` that names the option and its range.
    public func validate() throws(InterferenceError) {
        for (name, value) in [("steps", steps), ("batch size", batchSize), ("shard count", shardCount ?? 1)]
        where value < 1 || value > largestMatrixDimension {
            throw InterferenceError(
                .badOption, "\(name) is \(value); it must lie between 1 and \(largestMatrixDimension)")
        }
        guard learningRate.isFinite, learningRate > 0 else {
            throw InterferenceError(.badOption, "learning rate is \(learningRate); it must be positive")
        }
        for (name, value) in [("weight decay", weightDecay), ("alpha", alpha)] where !value.isFinite || value < 0 {
            throw InterferenceError(.badOption, "\(name) is \(value); it must not be negative")
        }
    }
}

extension ResolverOptions: Encodable {
    private enum CodingKeys: String, CodingKey {
        case steps, alpha, distance, schedule
        case batchSize = "batch_size"
        case learningRate = "learning_rate"
        case weightDecay = "weight_decay"
        case seed = "shuffle.seed"
        case shardCount = "shard_count"
    }

    /// Under the names that the options have in recipes.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(steps, forKey: .steps)
        try container.encode(batchSize, forKey: .batchSize)
        try container.encode(learningRate, forKey: .learningRate)
        try container.encode(weightDecay, forKey: .weightDecay)
        try container.encode(alpha, forKey: .alpha)
        try container.encode(distance, forKey: .distance)
        try container.encode(schedule, forKey: .schedule)
        if case .shuffled(let seed) = order { try container.encode(seed, forKey: .seed) }
        try container.encodeIfPresent(shardCount, forKey: .shardCount)
    }
}
