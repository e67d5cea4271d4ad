import Glibc
import SystemPackage
import TensorCore

/// Writes some shards of a checkpoint whose others are written elsewhere, each as `NAME.part`: no reader takes those for a model.
package final class ShardPartWriter: CheckpointWriter {
    private let writers: [Int: SafetensorsWriter]
    private let places: [(shard: Int, tensor: Int)]

    /// Begins the files; those of an earlier attempt are replaced when they are finished.
    ///
    /// - Parameter shards: which ones to write.
    /// - Throws: as `SafetensorsWriter`.
    package init(
        _ shards: Range<Int>, of layout: ShardLayout, in folder: FilePath, metadata: Metadata, sync: Bool
    ) throws {
        places = layout.places
        var writers: [Int: SafetensorsWriter] = [:]
        for shard in shards {
            writers[shard] = try SafetensorsWriter(
                creating: layout.path(ofPart: shard, in: folder),
                declaring: layout.shards[shard].tensors.map { layout.descriptors[$0] }, metadata: metadata,
                options: WriteOptions(force: true, sync: sync))
        }
        self.writers = writers
    }

    package func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        let place = places[tensor]
        guard let writer = writers[place.shard] else { preconditionFailure("the tensor is in another part") }
        try writer.write(bytes, tensor: place.tensor, at: offset)
    }

    package func finish() throws -> WrittenCheckpoint {
        let all = writers.sorted { $0.key < $1.key }.map(\.value)
        for writer in all { try writer.flush() }
        let written = try all.map { try $0.finish() }
        return WrittenCheckpoint(
            files: written.flatMap(\.files), byteCount: written.reduce(0) { $0 + $1.byteCount })
    }
}

/// Makes a checkpoint of shards that are there already, in another folder on the same disk; the parts stay as they are.
package final class ShardJoiner: CheckpointWriter {
    private let layout: ShardLayout
    private let source: FilePath
    private let target: FilePath
    private let options: WriteOptions

    package init(_ layout: ShardLayout, from source: FilePath, into target: FilePath, options: WriteOptions) {
        self.layout = layout
        self.source = source
        self.target = target
        self.options = options
    }

    package func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) {
        preconditionFailure("the shards are written already")
    }

    package func finish() throws -> WrittenCheckpoint {
        var files: [FilePath] = []
        for (place, shard) in layout.shards.enumerated() {
            let file = target.appending(shard.name)
            try linkOrCopy(ShardLayout.place(ofPart: layout.path(ofPart: place, in: source)), to: file)
            files.append(file)
        }
        if layout.isSplit {
            let index = target.appending(layout.indexName)
            try AtomicOutput.write(layout.indexText, to: index, options: options)
            files.append(index)
        }
        return WrittenCheckpoint(files: files, byteCount: files.reduce(0) { $0 + fileByteCount($1) })
    }

    /// Where there are no hard links, a copy does.
    private func linkOrCopy(_ part: FilePath, to file: FilePath) throws {
        if link(part.string, file.string) == 0 { return }
        let contents = try MappedFile(part)
        let output = try AtomicOutput(creating: file, byteCount: contents.byteCount, options: options)
        try contents.withUnsafeBytes { try output.write($0, at: 0) }
        try output.commit()
    }
}

extension ShardLayout {
    /// Where a shard is until all are there.
    package func path(ofPart shard: Int, in folder: FilePath) -> FilePath {
        folder.appending("\(shards[shard].name).part")
    }

    /// Where the shard is that was left as a part: there, or in its place in the model once a join has begun to remove the parts.
    package static func place(ofPart part: FilePath) -> FilePath {
        guard !fileExists(part) else { return part }
        var shard = part
        shard.extension = nil
        return shard
    }
}
