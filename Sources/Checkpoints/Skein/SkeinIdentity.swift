import TensorCore

extension ContentHash {
    /// The identity of a checkpoint: XXH3-128 over its tensors, sorted by the bytes of their names.
    ///
    /// Of each tensor: byte count of the name (4) and the name, byte count of the dtype's name (4) and the dtype's name,
    /// rank (4), dimensions (8 each), content hash (16); little-endian. Metadata and file format do not matter.
    static func identity(of tensors: [(descriptor: TensorDescriptor, contentHash: ContentHash)]) -> ContentHash {
        var bytes = SkeinBytes()
        for (descriptor, hash) in tensors.sorted(by: { $0.descriptor.name < $1.descriptor.name }) {
            bytes.append(UInt32(truncatingIfNeeded: descriptor.name.text.utf8.count))
            bytes.append(descriptor.name.text.utf8)
            bytes.append(UInt32(descriptor.dtype.rawValue.utf8.count))
            bytes.append(descriptor.dtype.rawValue.utf8)
            bytes.append(UInt32(truncatingIfNeeded: descriptor.shape.rank))
            for dim in descriptor.shape.dims { bytes.append(UInt64(dim)) }
            bytes.append(hash.bytes)
        }
        return bytes.content.withUnsafeBytes { SkeinHash.digest($0) }
    }

    /// The content hash of a tensor's little-endian row-major bytes.
    public init(ofTensor bytes: UnsafeRawBufferPointer) { self = SkeinHash.tree(bytes) }
}
