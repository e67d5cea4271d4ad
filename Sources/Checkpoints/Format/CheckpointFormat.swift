import SystemPackage
import TensorCore

/// Everything the product knows about a format of checkpoints. Reading and writing are abilities of their own.
///
/// The formats there are stand in `all`; commands, folders and outputs ask that list and name no format.
public struct CheckpointFormat: Sendable {
    public let id: FormatID
    /// What a file of the format is called, with its article.
    public let title: String
    /// The endings of its files, the usual one first.
    public let extensions: [String]
    /// How sure the first bytes and the name of a file make that it is of the format; nil when it is not.
    let recognizes: @Sendable (FileSignature) -> Confidence?
    /// Opens a file that was recognised.
    let read: @Sendable (FilePath, ReadOptions) throws -> any CheckpointReader
    /// Nil for a format that is only read.
    public let writer: Writer?
    /// The options of the command line that are about this format alone.
    public let options: [Option]
    /// Whether the first of several files finds the others by their names, without an index.
    var findsParts = false

    /// How sure it is that a file is of a format.
    enum Confidence: Comparable {
        /// The bytes could be of the format.
        case possible
        /// Nothing but the format begins so, unless something well known does.
        case likely
        /// Nothing else begins so.
        case certain
    }

    /// The ability to write a format.
    public struct Writer: Sendable {
        /// Whether the format has a place for metadata.
        public let keepsMetadata: Bool
        /// Whether a checkpoint may lie in several files with an index.
        public let splits: Bool
        /// Whether elements of a layout can be stored.
        public let holds: @Sendable (ElementLayout) -> Bool
        /// Whether a file needs to know its model, beside tensors and texts about them.
        var needsModel = false
        let make: @Sendable (FilePath, [TensorDescriptor], Metadata, WriteOptions) throws -> any CheckpointWriter
    }

    /// An option of the command line, without its dashes.
    public struct Option: Sendable, Hashable {
        public enum Use: Sendable { case reading, writing }

        public let name: String
        public let use: Use

        static func reading(_ name: String) -> Option { Option(name: name, use: .reading) }
        static func writing(_ name: String) -> Option { Option(name: name, use: .writing) }
    }

    /// All formats; of several that could be meant the first is.
    public static let all: [CheckpointFormat] = [.safetensors, .skein, .npy, .torch, .npz, .gguf]

    /// The format of a name.
    public static func of(_ id: FormatID) -> CheckpointFormat {
        guard let format = all.first(where: { $0.id == id }) else { preconditionFailure("every name is in the list") }
        return format
    }

    /// The format in which tensors of a checkpoint are written again where nothing else is asked for: its own, if that is written of
    /// tensors alone, else safetensors.
    public static func output(like id: FormatID) -> FormatID {
        guard let writer = of(id).writer, !writer.needsModel else { return .safetensors }
        return id
    }

    /// The format that the name of a file promises; nil when it promises none.
    public static func named(_ path: FilePath) -> CheckpointFormat? {
        guard let ending = path.extension?.lowercased() else { return nil }
        return all.first { $0.extensions.contains(ending) }
    }

    /// The format that an output path asks for by its extension; nil when it names none that is written.
    public static func format(ofOutput path: FilePath) -> FormatID? {
        named(path).flatMap { $0.writer == nil ? nil : $0.id }
    }
}

// MARK: - Opening and writing

extension CheckpointFormat {
    /// Opens the checkpoint at a path: a file, a `*.index.json`, a folder that holds one, or a base with adapters, which are folded
    /// into it while it is read.
    ///
    /// In a folder `model.safetensors` goes before `model.safetensors.index.json`, as in transformers; without either, the
    /// folder must hold exactly one checkpoint file, or one index, beside variants of it. What it holds besides is warned of.
    ///
    /// - Throws: `FormatError`: `unknown_format` with what was seen, or the first rule of the format that is broken;
    ///   `IOError` when the file cannot be read.
    public static func open(_ path: FilePath, options: ReadOptions = ReadOptions()) throws -> any CheckpointReader {
        if let adapted = AdaptedPath(path) { return try open(adapted, options: options) }
        var options = options
        var file = path
        if folderExists(path) {
            let found = try CheckpointFolder.checkpoint(in: path)
            file = found.file
            options.notes = [found.warning].compactMap { $0 }
        }
        try HubSnapshot.requireContents(of: file)
        if file.isShardIndex { return try ShardedReader(opening: file, options: options) }
        return try FileSignature.open(file, lookingAt: { try $0.format() }) { try $0.read(file, options) }
    }

    private static func open(_ path: AdaptedPath, options: ReadOptions) throws -> any CheckpointReader {
        var numbers = options
        numbers.keepsBlocks = false
        let base = try TensorStore(opening: path.base, options: numbers).reader
        return try CheckpointView(
            folding: path.adapters.map { try LoRAAdapter(opening: $0, options: options) }, into: base)
    }

    /// Starts writing a checkpoint.
    ///
    /// An output that is an existing folder becomes `model.safetensors` (or `.npz`, `.npy`, `.skein`, `.gguf`) inside it. With
    /// `options.shardByteCount`, data beyond that size is split into shards with an index, where the format can.
    ///
    /// - Throws: `FormatError` when the format cannot hold a declared tensor, `IOError` when the file cannot be made.
    /// - Precondition: the format is one that is written.
    public static func makeWriter(
        _ id: FormatID, at path: FilePath, declaring descriptors: [TensorDescriptor], metadata: Metadata = Metadata(),
        options: WriteOptions = WriteOptions()
    ) throws -> any CheckpointWriter {
        let format = of(id)
        guard let writer = format.writer else { preconditionFailure("\(id) is only read") }
        let file = folderExists(path) ? path.appending("model.\(format.extensions[0])") : path
        return try writer.make(file, descriptors, metadata, options)
    }
}

extension FilePath {
    /// Whether the file lists the shards of a checkpoint.
    var isShardIndex: Bool { lastComponent.map { ShardIndexName($0.string) != nil } ?? false }
}
