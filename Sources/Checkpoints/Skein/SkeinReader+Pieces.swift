import TensorCore

extension SkeinReader {
    /// The bytes of a chunk, which decodes only whole.
    public func decodedTogetherByteCount(of index: Int) -> Int {
        let tensor = self.index.tensors[index]
        return tensor.isContiguous ? 0 : min(tensor.chunkByteCount, tensor.descriptor.byteCount)
    }
}
