import Glibc
import SystemPackage
import TensorCore

/// What an earlier checkpoint of the same name left as shards and an index: `model.safetensors.index.json` beside `model.safetensors`.
struct OlderShards {
    private let index: FilePath
    private let shards: [FilePath]

    /// Looks for the index; nil when there is none.
    ///
    /// - Parameter file: the checkpoint as a single file. An index that cannot be read has no shards that are known.
    init?(of file: FilePath) {
        let index = file.removingLastComponent().appending("\(file.lastComponent?.string ?? "model").index.json")
        guard fileExists(index) else { return nil }
        self.index = index
        let named = (try? ShardIndex(reading: index))?.places.map(\.shard) ?? []
        shards = Set(named).filter { ShardName($0)?.stem == file.stem }.sorted()
            .map(file.removingLastComponent().appending)
    }

    /// Makes sure that the shards may give way to a single file.
    ///
    /// - Throws: `io.exists`.
    func requireReplaceable(_ options: WriteOptions) throws(IOError) {
        guard !options.force else { return }
        throw .exists(index, "exists already and lists the shards of another checkpoint of that name")
    }

    /// Removes the index: until another stands there is no checkpoint, rather than an old index over new shards.
    func removeIndex() { unlink(index.string) }

    /// Removes the shards, but for files that the new checkpoint has.
    func removeShards(besides kept: Set<FilePath> = []) {
        for shard in shards where !kept.contains(shard) { unlink(shard.string) }
    }
}
