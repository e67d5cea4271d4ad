import Networks

/// How a batch is cut: in shards that workers compute side by side, and each of these in pieces, one after the other in the same memory.
///
/// The last bits of a gradient depend on it, so it follows from the options, the network and the inputs, and never from the threads or the
/// memory of a machine.
package struct BatchPlan: Sendable, Hashable {
    let batchSize: Int
    let shardCount: Int
    /// The most inputs of a shard whose activations are kept at once.
    let pieceSize: Int

    /// What activations may take where the options leave the size of micro-batches open. Our choice: with it a ViT-B/32 at batch 128 stays
    /// below 4 GB and a ViT-L/14 at batch 32 below 8 GB.
    static let activationByteCount = 1 << 30

    init(_ options: ResolverOptions, _ network: any Network, tokenCount: Int) {
        batchSize = options.batchSize
        let shards = options.shardCount(parameterCount: network.parameterCount)
        if let size = options.microBatchSize.map({ min($0, options.batchSize) }) {
            shardCount = min(shards, size)
            pieceSize = (size + shardCount - 1) / shardCount
        } else {
            shardCount = shards
            let one = network.activationCount(capacity: 1, tokenCount: tokenCount, purpose: .training)
            let fitting = Self.activationByteCount / MemoryLayout<Float>.stride / shards / one
            pieceSize = max(1, min(fitting, (batchSize + shards - 1) / shards))
        }
    }

    /// A shard's part of `count` inputs: sizes differ by one at most.
    private func range(of shard: Int, count: Int) -> Range<Int> {
        shard * count / shardCount..<(shard + 1) * count / shardCount
    }

    /// The pieces of a shard's part of `count` inputs, in their order: sizes differ by one at most.
    func pieces(of shard: Int, count: Int) -> [Range<Int>] {
        let range = range(of: shard, count: count)
        let pieceCount = (range.count + pieceSize - 1) / pieceSize
        return (0..<pieceCount).map { piece in
            let start = range.lowerBound + piece * range.count / pieceCount
            return start..<range.lowerBound + (piece + 1) * range.count / pieceCount
        }
    }
}
