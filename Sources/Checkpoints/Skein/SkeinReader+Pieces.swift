import TensorCore

extension SkeinReader {
    /// The bytes of a chunk, shared or not, which decodes only whole.
    public func decodedTogetherByteCount(of index: Int) -> Int {
        let tensor = entry(of: index)
        return tensor.isContiguous ? 0 : min(tensor.chunkByteCount, tensor.descriptor.byteCount)
    }
}
