import Kernels
public import Networks

/// How one expert is adapted. Defaults are those that the eight-task suite was measured with.
///
/// `ResolverOption` declares what recipes and the command line may say of each.
public struct ResolverOptions: Sendable, Hashable {
    public var steps: Int
    public var batchSize: Int
    public var learningRate: Double
    public var weightDecay: Double
    /// The weight of the interference term, the mean over the other heads.
    public var alpha: Double
    public var distance: Distance
    public var schedule: LearningRateSchedule
    /// Whether each pass over the inputs has an order of its own.
    public var shuffle: Bool
    public var seed: UInt64
    /// The parts of a batch that are computed apart and added in order; nil chooses by the size of the model.
    ///
    /// Results depend on this number in the last bits, and never on the number of threads.
    public var shardCount: Int?

    public init(
        steps: Int = 250, batchSize: Int = 64, learningRate: Double = 1e-4, weightDecay: Double = 1e-4,
        alpha: Double = 1, distance: Distance = .kl, schedule: LearningRateSchedule = .constant,
        shuffle: Bool = false, seed: UInt64 = 0, shardCount: Int? = nil
    ) {
        self.steps = steps
        self.batchSize = batchSize
        self.learningRate = learningRate
        self.weightDecay = weightDecay
        self.alpha = alpha
        self.distance = distance
        self.schedule = schedule
        self.shuffle = shuffle
        self.seed = seed
        self.shardCount = shardCount
    }

    /// Which inputs each step uses.
    public var order: AuxiliaryBatches.Order { shuffle ? .shuffled(seed: seed) : .sequential }

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
        for option in ResolverOption.all { try option.validate(self) }
        if let shardCount, !(1...largestMatrixDimension).contains(shardCount) {
            throw InterferenceError(
                .badOption, "shard count is \(shardCount); it must lie between 1 and \(largestMatrixDimension)")
        }
    }
}

extension ResolverOptions: Encodable {
    private struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    /// Encodes every option that has an effect, under its name and as its text.
    ///
    /// - Throws: what the encoder throws.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        for option in ResolverOption.all where option.name != ResolverOption.seed.name || shuffle {
            try container.encode(option.text(in: self), forKey: Key(stringValue: option.name))
        }
        try container.encodeIfPresent(shardCount, forKey: Key(stringValue: "shard_count"))
    }
}

/// Sets of options that have a name.
public enum ResolverPreset: String, Sendable, CaseIterable {
    /// The paper's recipe for CLIP vision transformers (arXiv:2603.13467).
    case paper

    public var options: ResolverOptions {
        switch self {
        case .paper: ResolverOptions(steps: 2500, batchSize: 128, learningRate: 1e-6)
        }
    }
}
