import TensorCore

/// How a .skein file is written.
public struct SkeinOptions: Sendable {
    public var level: SkeinLevel
    /// Store every tensor as it is, in one piece that can be mapped.
    public var isStored: Bool
    /// Bytes of tensor data in a chunk: a power of two from 128 KiB to 16 MiB. Smaller chunks make row ranges cheaper.
    public var chunkByteCount: Int
    /// The checkpoint to store differences to: tensors of the same name and shape, and of the same dtype or of BF16 or F16 where
    /// theirs is F32, are coded against it where that is shorter.
    public var base: TensorStore?
    /// The threads that hash the base.
    public var threads: Int
    /// Memory for coded chunks that wait for those before them, beyond which they go to a scratch file.
    package var waitingByteLimit = 64 << 20

    /// 1 MiB: the size is flat from 128 KiB up, and a chunk with its planes fits the second-level cache.
    public static let defaultChunkByteCount = 1 << 20

    public init(
        level: SkeinLevel = .default, isStored: Bool = false, chunkByteCount: Int = defaultChunkByteCount,
        base: TensorStore? = nil, threads: Int = availableCoreCount
    ) {
        self.level = level
        self.isStored = isStored
        self.chunkByteCount = chunkByteCount
        self.base = base
        self.threads = threads
    }

    /// Whether a chunk may have this many bytes of tensor data.
    public static func isChunkByteCount(_ count: Int) -> Bool { SkeinIndex.isChunkByteCount(count) }
}
