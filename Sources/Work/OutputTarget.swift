import Checkpoints
import SystemPackage
import TensorCore

/// Where a checkpoint goes and how it is written: decided once, from an argument, an option or a recipe, and asked by everyone.
public struct OutputTarget: Sendable {
    public let place: OutputPlace
    public let format: FormatID
    /// Also whether what is there may be replaced.
    public private(set) var options: WriteOptions

    /// Decides the format and checks what can be checked of the options.
    ///
    /// - Parameter format: nil goes by the extension; a folder gets safetensors.
    /// - Throws: `usage.output_format` when nothing tells the format, `usage.shard_size`.
    public init(
        _ place: OutputPlace, format: FormatID? = nil, options: WriteOptions = WriteOptions()
    ) throws(OutputError) {
        self.place = place
        self.options = options
        if let format { self.format = format } else { self.format = try Self.format(of: place) }
        if let size = options.shardByteCount {
            guard CheckpointFormat.of(self.format).writer?.splits == true else {
                throw OutputError(
                    .shardSize, "only safetensors can be split into shards, not \(self.format.rawValue)")
            }
            guard size > 0 else {
                throw OutputError(
                    .shardSize, "a shard of \(size) bytes holds nothing", hint: "--shard-size 5GB")
            }
        }
    }

    private static func format(of place: OutputPlace) throws(OutputError) -> FormatID {
        if place.isFolder { return .safetensors }
        if let format = CheckpointFormat.format(ofOutput: place.path) { return format }
        let endings = CheckpointFormat.all.filter { $0.writer != nil }.map { ".\($0.extensions[0])" }
        let hint = "end it in \(endings.joined(separator: ", ")), or in a slash for a folder"
        let name = place.path.string.escapingControlCharacters
        if let format = CheckpointFormat.named(place.path) {
            throw OutputError(.format, "the name \(name) is that of \(format.title), which is only read", hint: hint)
        }
        throw OutputError(.format, "the name \(name) does not tell the output format", hint: hint)
    }

    public var path: FilePath { place.path }
    public var isFolder: Bool { place.isFolder }

    /// The same, with a record of what the output was made from beside a file; nil keeps none.
    package func recorded(_ fingerprint: Fingerprint?) -> OutputTarget {
        guard let fingerprint else { return self }
        var target = self
        target.options = WorkRecord.sealing(options, with: fingerprint)
        return target
    }

    /// What has to give way to the output; nil when nothing is there.
    ///
    /// - Parameter names: the files of a folder that make it what it is.
    public func obstacle(_ names: [String] = []) -> FilePath? {
        isFolder ? names.lazy.map(path.appending).first(where: fileExists) : fileExists(path) ? path : nil
    }

    /// Finds out before long work what would keep the output from being written.
    ///
    /// - Parameters:
    ///   - names: the files of a folder that may not be there, or are to be replaced.
    ///   - byteCount: the room that it takes.
    /// - Throws: `io.exists`, `io.is_directory`, `io.not_a_file`; `io.space`; what making a file there throws.
    public func check(_ names: [String] = [], byteCount: Int = 0) throws {
        if !options.force, let file = obstacle(names) { throw IOError.exists(file) }
        try DiskSpace(needed: byteCount, at: path).require()
        guard !isFolder else { return }
        try AtomicOutput.checkPlace(path, options: options)
        // Gone again at once, without a trace.
        if fileExists(path.removingLastComponent()) {
            _ = try AtomicOutput(creating: path, byteCount: nil, options: options)
        }
    }

    /// Makes sure that the output does not take the place of one of several files of an input: what the others are then part of would
    /// be no checkpoint any more.
    ///
    /// - Parameter inputs: the files of each.
    /// - Throws: `io.exists`, also where files may be replaced.
    public func requireNoPart(of inputs: some Sequence<[FilePath]>) throws(IOError) {
        guard !isFolder else { return }
        for files in inputs where files.count > 1 && files.contains(where: { isSamePlace($0, path) }) {
            throw .exists(path, "is one of the files of an input", hint: "give the output a name of its own")
        }
    }

    /// Starts writing. Folders above the output are made.
    ///
    /// - Parameter staging: a folder that will take the place of the output, whose name the user does not know.
    /// - Throws: `format.unsupported_dtype` when the format lacks a type of the result; what making the writer throws.
    public func open(
        declaring tensors: [TensorDescriptor], metadata: Metadata = Metadata(), staging: FilePath? = nil
    ) throws -> any CheckpointWriter {
        if staging == nil { try makeFolder(isFolder ? path : path.removingLastComponent()) }
        do {
            return try CheckpointFormat.makeWriter(
                format, at: staging ?? path, declaring: tensors, metadata: metadata, options: options)
        } catch let error as FormatError where error.category == .unsupportedDtype {
            let tensor = tensors.first { $0.name.description == error.tensor }
            // Only floating-point numbers are cast.
            let isCast = tensor?.dtype.isFloatingPoint ?? false
            let widens = isCast && CheckpointFormat.of(format).options.contains { $0.name == "upcast" }
            throw FormatError(
                error.category, error.message, file: path, tensor: tensor?.name,
                hint: "choose another format, or "
                    + (isCast
                        ? "the type of the result: --dtype F32, or dtype: float32 in a recipe" : "leave the tensor out")
                    + (widens ? "; `untangle convert` also widens exactly, with --upcast" : ""))
        }
    }
}
