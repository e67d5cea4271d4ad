import Glibc
import SystemPackage
import TensorCore

/// Writes a checkpoint as several safetensors files with an index.
///
/// An output `model.safetensors` becomes `model-00001-of-00002.safetensors`, … and `model.safetensors.index.json`. The
/// shards get their names first and the index last, so that an index never names a file that is not there.
public final class ShardedSafetensorsWriter: CheckpointWriter {
    private let path: FilePath
    private let shards: [SafetensorsWriter]
    private let index: AtomicOutput
    private let indexText: [UInt8]
    /// For each declared tensor its shard and its position there.
    private let places: [(shard: Int, tensor: Int)]
    private let replacesSingleFile: Bool
    private let options: WriteOptions

    /// Splits the tensors greedily in the order of a single file.
    ///
    /// - Parameter limit: the most bytes of tensor data in a shard; a larger tensor gets a shard of its own.
    /// - Throws: `FormatError` when the format cannot hold the tensors, `IOError` when a file cannot be made.
    public init(
        creating path: FilePath, declaring descriptors: [TensorDescriptor], metadata: Metadata = Metadata(),
        limit: Int, options: WriteOptions = WriteOptions()
    ) throws {
        let layout = try ShardLayout(descriptors, limit: limit, file: path)
        let folder = path.removingLastComponent()
        replacesSingleFile = fileExists(path)
        if replacesSingleFile, !options.force {
            throw IOError.exists(path, "exists already and would be taken for the checkpoint instead of its shards")
        }
        places = layout.places
        shards = try layout.shards.map { shard in
            try SafetensorsWriter(
                creating: folder.appending(shard.name), declaring: shard.tensors.map { descriptors[$0] },
                metadata: metadata, options: options)
        }
        indexText = layout.indexText
        index = try AtomicOutput(
            creating: folder.appending(layout.indexName), byteCount: indexText.count, options: options)
        self.path = path
        self.options = options
    }

    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        let place = places[tensor]
        try shards[place.shard].write(bytes, tensor: place.tensor, at: offset)
    }

    public func finish() throws -> WrittenCheckpoint {
        try index.write(indexText, at: 0)
        for shard in shards { try shard.flush() }
        try index.flush()
        return try FolderLock.hold(path.removingLastComponent()) { try UnfinishedOutputs.hold(appear) }
    }

    /// Gives all files their names.
    private func appear() throws -> WrittenCheckpoint {
        // Another process may have written meanwhile what may not be replaced.
        for file in shards.map(\.path) + [index.path] { try AtomicOutput.checkPlace(file, options: options) }
        try MappedFiles.requireUnchanged()
        let older = OlderShards(of: path)
        older?.removeIndex()
        var files: [FilePath] = []
        var byteCount = indexText.count
        for shard in shards {
            let written = try shard.finish()
            files += written.files
            byteCount += written.byteCount
        }
        try index.commit()
        // A single file of the old checkpoint would be found before the index.
        if replacesSingleFile { unlink(path.string) }
        older?.removeShards(besides: Set(shards.map(\.path)))
        return WrittenCheckpoint(files: files + [index.path], byteCount: byteCount)
    }
}
