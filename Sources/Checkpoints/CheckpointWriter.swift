import SystemPackage
import TensorCore

/// Writes one checkpoint whose tensors were declared beforehand, so that every position is known before the first byte.
///
/// Made by `CheckpointFormat.makeWriter`. Nothing is visible at the output path until `finish()`; a writer that is released
/// unfinished removes what it began.
public protocol CheckpointWriter: AnyObject, Sendable {
    /// Writes part of a tensor's little-endian row-major bytes. Calls may come from any thread and in any order, but every
    /// byte of every declared tensor must be written exactly once.
    ///
    /// - Parameters:
    ///   - tensor: position in the list of declared tensors.
    ///   - offset: where in the tensor the bytes belong.
    /// - Throws: `IOError`, `io.disk_full` among them; `FormatError` of a base that a compressed file is stored
    ///   against.
    func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws

    /// Completes the files, flushes them to the disk and gives them their names.
    ///
    /// - Throws: `IOError` when not everything was written or the disk does not take it; `io.exists` when a file has
    ///   appeared at the path.
    func finish() throws -> WrittenCheckpoint
}

/// What a writer left behind.
public struct WrittenCheckpoint: Sendable, Hashable {
    public let files: [FilePath]
    public let byteCount: Int
    /// What the base of a .skein file was good for; nil where there is none.
    public let baseGain: SkeinBaseGain?

    public init(files: [FilePath], byteCount: Int, baseGain: SkeinBaseGain? = nil) {
        self.files = files
        self.byteCount = byteCount
        self.baseGain = baseGain
    }
}

/// How an output is written.
public struct WriteOptions: Sendable {
    /// Replace an existing file.
    public var force: Bool
    /// Flush to the disk before the output appears.
    public var sync: Bool
    /// Split the checkpoint into files of at most this many bytes of tensor data.
    public var shardByteCount: Int?
    /// How a .skein file is written.
    public var skein: SkeinOptions
    /// How a .gguf file is written.
    public var gguf = GGUFOptions()
    /// Told of each file that is complete, before it appears: its path, and where it is until then. What it throws keeps the file
    /// from appearing.
    package var willAppear: (@Sendable (_ path: FilePath, _ complete: FilePath) throws(IOError) -> Void)?

    public init(
        force: Bool = false, sync: Bool = true, shardByteCount: Int? = nil, skein: SkeinOptions = SkeinOptions()
    ) {
        self.force = force
        self.sync = sync
        self.shardByteCount = shardByteCount
        self.skein = skein
    }
}
