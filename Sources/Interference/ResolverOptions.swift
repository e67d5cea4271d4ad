import Kernels
public import Networks

/// How one expert is adapted. Defaults are those that the eight-task suite was measured with.
///
/// `ResolverOption` declares what recipes and the command line may say of each.
public struct ResolverOptions: Sendable, Hashable {
    /// How the adapted expert is found.
    public var solver: ResolverSolver = .train
    /// What is kept: the outputs under heads, or features.
    public var match: ResolverMatch = .logits
    /// Of the closed forms, what holds weights where they are, as a share of what holds the own head's logits; see `ClosedFormResolver`.
    public var ridge = 0.1
    /// The share of an expert's drift that the directions take in that are matched instead of logits; see `DriftHeads`.
    public var driftShare = 0.99
    public var steps: Int
    public var batchSize: Int {
        didSet { batchSizeOfLargeNetworks = nil }
    }
    /// What networks of more than 200 million parameters take instead, where a preset says so and nobody says otherwise.
    private var batchSizeOfLargeNetworks: Int?
    /// The inputs whose activations are in memory at once, rounded up to a multiple of the shards; nil chooses by the network and the size of
    /// the inputs, so that all activations take up to 1 GiB.
    ///
    /// Results depend on it in the last bits.
    public var microBatchSize: Int?
    /// Of AdamW; nil takes `relativeLearningRate` times the root mean square of the expert's task vector, for each expert its own.
    public var learningRate: Double?
    public var weightDecay: Double
    /// The weight of the interference term, the mean over the other heads.
    public var alpha: Double
    public var distance: Distance
    /// What logits are divided by before they are compared.
    public var temperatures: Temperatures
    /// Where a student begins between the base and the expert: at `base + startScale * (expert - base)`.
    public var startScale: Double
    /// Patterns of tensors that stay as they are, by the names that the base's file gives them.
    public var freeze: [String]
    public var schedule: LearningRateSchedule
    public var warmupSteps: Int
    /// The length to which a longer gradient of all parameters is shortened; 0 leaves gradients as they are.
    public var clipNorm: Double
    /// As many checks without a lower loss on held-out inputs end the adaptation; 0 takes every step. With patience, the student with the lowest of
    /// these losses is kept.
    public var patience: Int
    /// The steps from one check to the next; the last step is one, too.
    public var checkEvery: Int
    /// The share of the auxiliary inputs that is kept out of training, with patience.
    public var holdout: Double
    /// Whether each pass over the inputs has an order of its own.
    public var shuffle: Bool
    public var seed: UInt64
    /// The parts of a batch that are computed apart and added in order; nil chooses by the size of the model.
    ///
    /// Results depend on this number in the last bits, and never on the number of threads.
    public var shardCount: Int?

    public init(
        steps: Int = 250, batchSize: Int = 64, microBatchSize: Int? = nil, learningRate: Double? = nil,
        weightDecay: Double = 1e-4, alpha: Double = 1, distance: Distance = .kl,
        temperatures: Temperatures = Temperatures(), startScale: Double = 1, freeze: [String] = [],
        schedule: LearningRateSchedule = .constant, warmupSteps: Int = 0, clipNorm: Double = 0, patience: Int = 0,
        checkEvery: Int = 10, holdout: Double = 0.1,
        shuffle: Bool = false, seed: UInt64 = 0, shardCount: Int? = nil
    ) {
        self.steps = steps
        self.batchSize = batchSize
        self.microBatchSize = microBatchSize
        self.learningRate = learningRate
        self.weightDecay = weightDecay
        self.alpha = alpha
        self.distance = distance
        self.temperatures = temperatures
        self.startScale = startScale
        self.freeze = freeze
        self.schedule = schedule
        self.warmupSteps = warmupSteps
        self.clipNorm = clipNorm
        self.patience = patience
        self.checkEvery = checkEvery
        self.holdout = holdout
        self.shuffle = shuffle
        self.seed = seed
        self.shardCount = shardCount
    }

    /// Which inputs each step uses.
    public var order: AuxiliaryBatches.Order { shuffle ? .shuffled(seed: seed) : .sequential }

    /// The number of shards that a run uses.
    ///
    /// Eight keep the activations of a small model's shard in the second-level cache and serve up to eight cores. Every shard holds a
    /// gradient of its own: above two million parameters those of eight fit no cache, and one shard has all threads instead.
    public func shardCount(parameterCount: Int) -> Int {
        min(shardCount ?? (parameterCount <= 2 << 20 ? 8 : 1), batchSize)
    }

    /// The learning rate as a share of the task vector's root mean square, where no rate is given. AdamW moves a weight by about the rate a
    /// step, so this is how far one moves in a hundred steps: about as far as fine-tuning has moved it.
    ///
    /// - Source: measured on three suites, `docs/interference.md`.
    public static let relativeLearningRate = 0.01

    /// Whether the base is looked at beside its outputs.
    var needsBase: Bool { learningRate == nil || startScale != 1 }

    /// These options for a network: what depends on its size is settled.
    public func settled(for network: any Network) -> ResolverOptions {
        var options = self
        if let size = batchSizeOfLargeNetworks, network.parameterCount > 200_000_000 { options.batchSize = size }
        options.batchSizeOfLargeNetworks = nil
        if match == .features { options.distance = .mse }
        return options
    }

    /// How many of the first auxiliary inputs the steps take, whatever there is; nil where they may take any.
    package var usedInputCount: Int? {
        guard solver == .train, match == .logits, !shuffle, patience == 0 else { return nil }
        let (count, overflow) = steps.multipliedReportingOverflow(by: batchSize)
        return overflow ? nil : count
    }

    /// Whether several experts are held to the same outputs of the base: closed forms look at none, and features are compared in directions
    /// that follow from the experts.
    public func sharesBaseOutputs(amongExperts count: Int) -> Bool { solver == .train && match == .logits && count > 1 }

    /// How batches are cut, besides what the options say: the last bits depend on it, and the rules may change.
    package func cutting(for network: any Network) -> String {
        "\(shardCount(parameterCount: network.parameterCount)) of \(BatchPlan.activationByteCount) bytes"
    }

    /// Whether auxiliary inputs are looked at.
    public var needsAuxiliary: Bool { solver != .gram || match == .features }

    /// Sets the sizes of batches, until one of them is set to something else.
    mutating func setBatchSize(_ size: Int, ofLargeNetworks large: Int) {
        batchSize = size
        batchSizeOfLargeNetworks = large
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
    public func encode(to encoder: any Encoder) throws { try encode(ResolverOption.all, to: encoder) }

    /// Encodes those of some options that have an effect.
    ///
    /// - Throws: what the encoder throws.
    package func encode(_ options: [ResolverOption], to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        for option in options where option.hasEffect(among: self) {
            let key = Key(stringValue: option.name)
            if case .patterns(let field) = option.kind {
                try container.encode(self[keyPath: field], forKey: key)
            } else {
                try container.encode(option.text(in: self), forKey: key)
            }
        }
        try container.encodeIfPresent(shardCount, forKey: Key(stringValue: "shard_count"))
    }
}

/// How an adapted expert is found.
public enum ResolverSolver: String, Sendable, CaseIterable {
    /// By training on auxiliary inputs.
    case train
    /// By an equation of the heads' Gram matrices, without inputs.
    case gram
    /// By an equation of the heads' Gram matrices and the base's activations on auxiliary inputs.
    case ridge
}

/// What an adapted expert keeps of itself, and of the base.
public enum ResolverMatch: String, Sendable, CaseIterable {
    /// The outputs under the tasks' heads.
    case logits
    /// Features, in the directions in which experts have changed them; needs no heads.
    case features
}

/// Sets of options that have a name.
public enum ResolverPreset: String, Sendable, CaseIterable {
    /// The paper's recipe for CLIP vision transformers (arXiv:2603.13467): 2500 steps of 128, or of 32 for ViT-L/14, at 1e-6 with a weight
    /// decay of 1e-4 and alpha 1.
    case paper

    /// What the name stands for.
    public var options: ResolverOptions {
        switch self {
        case .paper:
            var options = ResolverOptions(steps: 2500, learningRate: 1e-6, weightDecay: 1e-4, alpha: 1)
            options.setBatchSize(128, ofLargeNetworks: 32)
            return options
        }
    }
}
