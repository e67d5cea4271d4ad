import Checkpoints

extension CheckpointReader {
    /// The memory that a thread takes to decode from a tensor, besides what it decodes to: nothing for one that is mapped, the
    /// tensor itself where it decodes only whole, else the stored form of a piece, its planes, its bytes and those of its base.
    package func decodingByteCount(of index: Int) -> Int {
        decodedTogetherByteCount(of: index) * (canReadRanges(of: index) ? 4 : 1)
    }
}
