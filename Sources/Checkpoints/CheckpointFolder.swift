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
        let indices = names.filter { FilePath($0).isShardIndex && !$0.lowercased().hasSuffix(".bin.index.json") }
        let candidates = indices + files.filter { ShardName($0) == nil }
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
        let other = ForeignWeights(among: names)
        let found =
            candidates.isEmpty
            ? "no checkpoint" + (other.map { " that this version reads, but \($0.name)" } ?? "")
            : "\(candidates.count) checkpoints (\(list))"
        throw FormatError(
            .unknownFormat, "the folder \(folder.string) holds \(found.escapingControlCharacters)", file: folder,
            hint: candidates.isEmpty
                ? other?.remedy ?? "it should hold model.safetensors or model.safetensors.index.json"
                : "name one of the files")
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

/// Weights in a format of others, in a folder without a checkpoint.
private struct ForeignWeights {
    let name: String
    let remedy: String

    /// The first that is a model rather than what else training leaves behind, if there is one.
    init?(among names: [String]) {
        let torch = ["bin", "pt", "pth", "ckpt"]
        let rest = ["training_args", "optimizer", "scheduler", "rng_state", "scaler"]
        let weights = names.filter { name in
            let suffix = FilePath(name).extension?.lowercased() ?? ""
            return (torch + ["gguf"]).contains(suffix) && !rest.contains { name.hasPrefix($0) }
        }
        guard let name = weights.first(where: { $0.hasPrefix("pytorch_model") }) ?? weights.first else { return nil }
        self.name = name
        remedy =
            name.lowercased().hasSuffix(".gguf")
            ? "get the model that the GGUF file was made from, as safetensors"
            : "save it as safetensors: load it in transformers and call "
                + "model.save_pretrained(folder, safe_serialization=True), or use safetensors.torch.save_file"
    }
}
