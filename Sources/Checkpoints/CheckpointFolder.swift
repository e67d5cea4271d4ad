import Glibc
import SystemPackage
import TensorCore

/// Finds the checkpoint in a folder of the Hugging Face layout.
enum CheckpointFolder {
    static func isFolder(_ path: FilePath) -> Bool {
        var status = stat()
        return stat(path.string, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The file that a path stands for, the path itself when it is no folder or there is no telling.
    static func file(of path: FilePath) -> FilePath {
        isFolder(path) ? (try? checkpoint(in: path)) ?? path : path
    }

    /// The file to open for a folder: `model.safetensors`, else `model.safetensors.index.json`, as in transformers; without
    /// either the only checkpoint there is, where an index counts as one with its shards.
    ///
    /// - Throws: `FormatError` `unknown_format` when there is no checkpoint or no telling which, `missing_shard` when there are
    ///   shards and no index; `IOError` when the folder cannot be read.
    static func checkpoint(in folder: FilePath) throws -> FilePath {
        let names = try listing(of: folder)
        for preferred in ["model.safetensors", "model.safetensors.index.json"] where names.contains(preferred) {
            return folder.appending(preferred)
        }
        let files = names.filter { CheckpointFormat.format(ofOutput: FilePath($0)) != nil }
        let shards = files.filter { ShardName($0) != nil }
        let candidates = names.filter { FilePath($0).isShardIndex } + files.filter { ShardName($0) == nil }
        if candidates.count == 1 { return folder.appending(candidates[0]) }
        let shown = 10
        let list = candidates.prefix(shown).joined(separator: ", ") + (candidates.count > shown ? ", ..." : "")
        if candidates.isEmpty, let shard = shards.first {
            throw FormatError(
                .missingShard,
                "the folder \(folder.string) holds \(shards.count == 1 ? "a part" : "parts") of a checkpoint, such as "
                    + "\(shard.escapingControlCharacters), and no index", file: folder,
                hint: "download model.safetensors.index.json and all parts, or name one file to work on it alone")
        }
        let found = candidates.isEmpty ? "no checkpoint" : "\(candidates.count) checkpoints (\(list))"
        throw FormatError(
            .unknownFormat, "the folder \(folder.string) holds \(found.escapingControlCharacters)", file: folder,
            hint: candidates.isEmpty
                ? "it should hold model.safetensors or model.safetensors.index.json" : "name one of the files")
    }

    /// The names in a folder, hidden ones left out, sorted.
    private static func listing(of folder: FilePath) throws(IOError) -> [String] {
        guard let stream = opendir(folder.string) else {
            throw IOError(Errno(rawValue: errno), action: "read the folder \(folder.string)", path: folder)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }
}
