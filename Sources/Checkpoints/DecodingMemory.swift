import SystemPackage
import TensorCore

/// What decoding takes beside mapped input, and whether it may.
extension CheckpointReader {
    /// The memory that a thread takes to decode from a tensor, besides what it decodes to: nothing for one that is mapped, the
    /// tensor itself where it decodes only whole, else the stored form of a piece, its planes, its bytes and those of its base.
    package func decodingByteCount(of index: Int) -> Int {
        decodedTogetherByteCount(of: index) * (canReadRanges(of: index) ? 4 : 1)
    }

    /// What `bytes(of:)` takes: nothing for a tensor that is mapped.
    package func decodedByteCount(of index: Int) -> Int { isMapped(index) ? 0 : descriptors[index].byteCount }

    /// Makes sure that the largest of some tensors that decode only whole fits into a memory.
    ///
    /// - Throws: `IOError` `io.memory` with the least that works.
    package func requireMemory(_ limit: Int, toDecode indices: some Sequence<Int>) throws(IOError) {
        let whole = indices.filter { !canReadRanges(of: $0) }
        guard let largest = whole.max(by: { decodedByteCount(of: $0) < decodedByteCount(of: $1) }) else { return }
        try requireMemory(limit, for: decodedByteCount(of: largest), toDecode: largest)
    }

    /// Makes sure that a tensor can be decoded within a limit.
    ///
    /// - Parameter needed: what decoding a tensor, and what is decoded beside it, takes.
    /// - Throws: `IOError` `io.memory` when that is more than the limit.
    package func requireMemory(_ limit: Int, for needed: Int, toDecode index: Int) throws(IOError) {
        guard needed > limit else { return }
        let tensor = descriptors[index]
        let unit = 1 << 20
        throw IOError(
            kind: .memory,
            message: "tensor \"\(tensor.name)\" \(tensor.shape) must be decoded whole, which takes \(needed) bytes of "
                + "working memory, but \(limit) are allowed", file: path.string,
            hint: "raise --memory to at least \(needed / unit + (needed % unit == 0 ? 0 : 1))MiB")
    }
}
