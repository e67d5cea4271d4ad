public import Networks

/// The memory that resolving takes at its peak, besides files that are mapped.
///
/// Either the teachers or a student are at work: first the base and then every expert compute outputs, and then a student is trained.
public struct ResolverFootprint: Sendable, Hashable {
    /// In bytes, those of the process itself among them.
    public let byteCount: Int

    /// What a process takes whatever it computes: 4 MiB, measured.
    private static let process = 0x1p22

    /// Adds up what will be allocated.
    ///
    /// - Parameters:
    ///   - frozen: what is not trained, whose moments are never written and so take no memory.
    ///   - threads: as many compute.
    public init(
        _ network: any Network, tasks: [TaskHead], auxiliary: InputSet, options: ResolverOptions,
        frozen: FrozenParameters = FrozenParameters(), threads: Int
    ) {
        let options = options.settled(for: network)
        let tokenCount = network.tokenCount(of: auxiliary)
        let plan = BatchPlan(options, network, tokenCount: tokenCount)
        // Numbers are in double precision here, which does not overflow.
        let float = Double(MemoryLayout<Float>.stride)
        let parameters = float * Double(network.parameterCount)
        func activations(_ purpose: WorkspacePurpose) -> Double {
            float
                * Double(network.activationCount(capacity: plan.pieceSize, tokenCount: tokenCount, purpose: purpose))
        }
        let classes = Double(tasks.reduce(0) { $0 + $1.head.classCount })
        let (inputs, width) = (Double(auxiliary.count), Double(network.featureSize))
        let batch = Double(options.batchSize)
        let used = min(inputs, Double(options.steps) * batch + (options.patience > 0 ? options.holdout * inputs : 0))

        // The base stays where a learning rate is chosen by it, or a start.
        let bases = options.needsBase ? 1.0 : 0
        let students = bases + Double(3 + plan.shardCount + (options.patience > 0 ? 1 : 0))
        // Rows and slots of a batch, and the logits of the expert beside the base's.
        let unwritten = 2 * float * frozen.ranges.reduce(0) { $0 + Double($1.count) }
        let training =
            students * parameters - unwritten + Double(plan.shardCount) * activations(.training) + 3 * 8 * batch
            + float * used * 2 * classes
        // The batch at work, and the one that is read ahead.
        let batches = 2 * Double(auxiliary.readByteCount(of: options.batchSize))
        // Features and logits are handed over in another array than they are made in; no more work than there are chunks.
        let workers = min(Double(threads), (used / Double(plan.pieceSize)).rounded(.up))
        let teaching =
            (1 + bases) * parameters + workers * activations(.inference) + 2 * float * used * (width + classes)
        let total =
            Double(auxiliary.byteCount) + 2 * float * width * classes
            + max(training + batches, teaching + workers * Double(auxiliary.readByteCount(of: plan.pieceSize)))
            + Self.process
        byteCount = total < Double(Int.max) ? Int(total) : .max
    }
}
