import SystemPackage
import TensorCore

/// Chooses the reader for an input by its content and the writer for an output by its name.
public enum CheckpointFormat {
    /// Opens the checkpoint at a path: a file, a `*.index.json`, or a folder that holds one.
    ///
    /// In a folder `model.safetensors` goes before `model.safetensors.index.json`, as in transformers; without either, the
    /// folder must hold exactly one checkpoint file, or one index, beside variants of it. What it holds besides is warned of.
    ///
    /// - Throws: `FormatError`: `unknown_format` with what was seen, or the first rule of the format that is broken;
    ///   `IOError` when the file cannot be read.
    public static func open(_ path: FilePath, options: ReadOptions = ReadOptions()) throws -> any CheckpointReader {
        var options = options
        var file = path
        if folderExists(path) {
            let found = try CheckpointFolder.checkpoint(in: path)
            file = found.file
            options.notes = [found.warning].compactMap { $0 }
        }
        if file.isShardIndex { return try ShardedSafetensorsReader(opening: file, options: options) }
        switch try FileSignature(of: file).format() {
        case .safetensors: return try SafetensorsReader(opening: file, options: options)
        case .npz: return try NpzReader(opening: file, options: options)
        case .npy: return try NpyReader(opening: file, options: options)
        case .skein: return try SkeinReader(opening: file, options: options)
        }
    }

    /// Whether a file is the checkpoint that its folder stands for, so that the other files of the folder belong to it.
    public static func speaksForFolder(_ file: FilePath) -> Bool {
        let folder = file.removingLastComponent()
        let checkpoint = try? CheckpointFolder.checkpoint(in: folder.isEmpty ? "." : folder)
        return checkpoint?.file.lastComponent == file.lastComponent
    }

    /// The format that an output path asks for by its extension; nil when it names none.
    public static func format(ofOutput path: FilePath) -> FormatID? {
        switch path.extension?.lowercased() {
        case "safetensors": .safetensors
        case "npz": .npz
        case "npy": .npy
        case "skein": .skein
        default: nil
        }
    }

    /// Starts writing a checkpoint.
    ///
    /// An output that is an existing folder becomes `model.safetensors` (or `.npz`, `.npy`, `.skein`) inside it. With
    /// `options.shardByteCount`, safetensors data beyond that size is split into shards with an index.
    ///
    /// - Throws: `FormatError` when the format cannot hold a declared tensor, `IOError` when the file cannot be made.
    public static func makeWriter(
        _ format: FormatID, at path: FilePath, declaring descriptors: [TensorDescriptor],
        metadata: Metadata = Metadata(),
        options: WriteOptions = WriteOptions()
    ) throws -> any CheckpointWriter {
        let file = folderExists(path) ? path.appending("model.\(format.rawValue)") : path
        switch format {
        case .safetensors:
            ShardName.removeStale(of: file)
            if let limit = options.shardByteCount,
                try ShardLayout(descriptors, limit: limit, file: file).isSplit
            {
                return try ShardedSafetensorsWriter(
                    creating: file, declaring: descriptors, metadata: metadata, limit: limit, options: options)
            }
            return try SafetensorsWriter(
                creating: file, declaring: descriptors, metadata: metadata, options: options)
        case .npz:
            return try NpzWriter(creating: file, declaring: descriptors, metadata: metadata, options: options)
        case .npy:
            return try NpyWriter(creating: file, declaring: descriptors, options: options)
        case .skein:
            if options.skein.isStored {
                return try SkeinStoredWriter(
                    creating: file, declaring: descriptors, metadata: metadata, options: options)
            }
            return try SkeinWriter(creating: file, declaring: descriptors, metadata: metadata, options: options)
        }
    }
}

extension FilePath {
    /// Whether the file lists the shards of a checkpoint.
    var isShardIndex: Bool { lastComponent.map { ShardIndexName($0.string) != nil } ?? false }
}
