import Checkpoints
import Networks
import SystemPackage
import TensorCore
import Work

/// The inputs of a file or folder of data as a network takes them, and their classes if there are any.
public struct DataFile: Sendable {
    public let inputs: InputSet
    /// One class per input.
    public let labels: ClassLabels?
    /// What should be known although the inputs can be used.
    public let warnings: [Warning]

    /// Reads inputs and classes.
    ///
    /// - Parameter limit: the inputs that are needed, the first so many; nil for all.
    /// - Throws: `input.*`, `picture.*`, `tokenizer.*` with the file and what of it; as `ImageFile` and `TokenFile` for arrays.
    public init(_ path: FilePath, for backbone: Backbone, limit: Int? = nil, in context: Context) throws {
        switch (DataSource(at: path), backbone.network.input) {
        case (.arrays, .images(let shape)):
            let file = try ImageFile(
                path, of: shape, normalization: backbone.normalization, options: backbone.reading)
            (inputs, labels, warnings) = (.images(file.images), file.labels.map { .numbers($0) }, file.warnings)
        case (.arrays, .tokens(let shape)):
            let file = try TokenFile(path, of: shape, options: backbone.reading)
            (inputs, labels) = (.tokens(file.tokens.withoutSharedPadding()), file.labels.map { .numbers($0) })
            warnings = []
        case (.pictures, .images(let shape)):
            var collection = try PictureCollection(at: path, heldByteCount: DataOptions.heldByteCount(in: context))
            let count = collection.entries.count
            if let limit, limit < count { collection = collection.prefix(limit) }
            let set = try PictureSet(collection, shape, for: backbone, in: context)
            (inputs, labels) = (set.inputs, set.labels)
            warnings =
                Self.skipWarning(set.skipped, of: count, "pictures", path)
                + Self.partWarning(collection, of: count, path)
        case (.texts(let format), .tokens(let shape)):
            let file = try TextFile(
                path, format: format, options: backbone.data, limit: limit, memory: context.memory)
            inputs = .tokens(try TextSet(file, shape, for: backbone, in: context).tokens)
            labels = file.classes.map { .texts($0) }
            warnings = Self.skipWarning(file.skipped, of: file.lines.count + file.skipped.count, "lines", path)
        case (.pictures, .tokens):
            throw InputError(
                .missingData, "\(path.string) holds pictures, and the model takes texts", file: path,
                hint: InputKind.swapHint)
        case (.texts, .images):
            throw InputError(
                .missingData, "\(path.string) holds texts, and the model takes images", file: path,
                hint: InputKind.swapHint)
        }
    }

    private static func skipWarning(
        _ skipped: [(name: String, reason: String)], of count: Int, _ noun: String, _ path: FilePath
    ) -> [Warning] {
        guard let first = skipped.first else { return [] }
        let rest = skipped.count > 1 ? "; the first: " : ": "
        return [
            Warning(
                DataWarning.skipped,
                "\(skipped.count) of \(count) \(noun) of \(path.string) cannot be read and are left out\(rest)\(first.reason)",
                file: path.string)
        ]
    }

    /// A run that takes the first pictures of folders that stand for classes sees few of the classes.
    private static func partWarning(_ used: PictureCollection, of count: Int, _ path: FilePath) -> [Warning] {
        guard used.entries.count < count, used.classes != nil else { return [] }
        return [
            Warning(
                DataWarning.firstPictures,
                "the steps take the first \(used.entries.count) of the \(count) pictures of \(path.string), which are in the order "
                    + "of their folders; --shuffle draws from all", file: path.string)
        ]
    }

    /// Makes sure that a path leads to data, before other work begins.
    ///
    /// - Throws: as `open`; `io.not_found`.
    package static func check(_ path: FilePath) throws {
        switch DataSource(at: path) {
        case .arrays: _ = try open(path)
        case .pictures, .texts:
            guard fileExists(path) else {
                throw IOError(.noSuchFileOrDirectory, action: "open \(path.string)", path: path)
            }
        }
    }

    /// Whether data is an array without classes; of pictures and texts that shows when they are read.
    ///
    /// - Throws: as `open`.
    package static func lacksLabels(_ path: FilePath) throws -> Bool {
        guard case .arrays = DataSource(at: path) else { return false }
        return try open(path).descriptor(named: "labels") == nil
    }

    /// The files of data as an input of work: those of an array, or an archive or a text; of a folder of pictures its listing counts.
    package static func input(_ role: String, _ path: FilePath) -> JobInput {
        switch DataSource(at: path) {
        case .arrays: JobInput(role, (try? TensorStore(opening: path))?.reader.files ?? [path])
        case .texts: JobInput(role, [path])
        case .pictures where !folderExists(path): JobInput(role, [path])
        case .pictures: JobInput(role, listing: PictureFolder.listing(of: path))
        }
    }

    /// What a network takes, by the tensor that it is in.
    private static func tensor(of input: NetworkInput) -> (name: TensorName, shape: String) {
        switch input {
        case .images: ("images", "[N, C, H, W]")
        case .tokens: ("input_ids", "[N, T]")
        }
    }

    /// Opens a data file.
    ///
    /// - Parameter input: what is needed of it; nil takes what any network takes.
    /// - Throws: `format.unknown_format` that says what was given instead of a checkpoint, `input.missing_tensor` that says what
    ///   it holds instead of inputs; `FormatError`, `IOError`.
    package static func open(
        _ path: FilePath, of input: NetworkInput? = nil, options: ReadOptions = ReadOptions()
    ) throws -> TensorStore {
        let store: TensorStore
        do { store = try TensorStore(opening: path, options: options) } catch let error as FormatError {
            let foreign = ForeignData(at: path)
            guard foreign != nil || error.category == .unknownFormat else { throw error }
            throw FormatError(
                .unknownFormat,
                foreign.map { "\(path.string) is \($0.text), which is not read as data" } ?? error.message,
                file: path, byteOffset: error.byteOffset.map { Int($0) }, hint: ForeignData.hint)
        }
        guard let input else {
            if store.index(of: "images") != nil || store.index(of: "input_ids") != nil { return store }
            let (found, hint) = whatIsThere(in: store, insteadOf: "images")
            throw InputError(
                .missingTensor,
                "\(path.string) \(found), and data needs \"images\" [N, C, H, W] or \"input_ids\" [N, T]", file: path,
                tensor: "images", hint: hint)
        }
        let (name, shape) = tensor(of: input)
        guard store.index(of: name) == nil else { return store }
        let (found, hint) = whatIsThere(in: store, insteadOf: name)
        throw InputError(
            .missingTensor, "\(path.string) \(found), and data needs \"\(name)\" \(shape)", file: path, tensor: name,
            hint: hint)
    }

    /// The classes of the inputs; nil without labels.
    ///
    /// - Throws: `input.bad_shape` when there is not one for each input; what `integers` throws.
    static func labels(in store: TensorStore, count: Int, of input: NetworkInput) throws -> [Int]? {
        guard store.descriptor(named: "labels") != nil else { return nil }
        let (shape, values) = try store.integers("labels")
        guard shape == Shape([count]) else {
            throw InputError(
                .badShape, "\"labels\" has shape \(shape) but there are \(count) \(input.noun.many)", file: store.path,
                tensor: "labels")
        }
        return values
    }

    /// What a checkpoint without inputs is, and what can be done about it.
    private static func whatIsThere(in store: TensorStore, insteadOf name: TensorName) -> (found: String, hint: String)
    {
        if let foreign = ForeignData(at: store.openedPath) { return ("is \(foreign.text)", ForeignData.hint) }
        switch InputKind(of: store) {
        case .unknown: return ("has no tensor \"\(name)\"", remedy(for: store, name))
        case .images: return ("holds images, and the model takes texts", "give texts or token ids: see docs/data.md")
        case .texts: return ("holds texts, and the model takes images", ForeignData.hint)
        case let kind: return ("holds \(kind.text)", InputKind.swapHint)
        }
    }

    private static func remedy(for store: TensorStore, _ name: TensorName) -> String {
        // Inputs under another name, as np.save and data sets have them.
        let ranks = name == "images" ? 3...4 : 2...2
        let candidates = store.descriptors.filter { ranks.contains($0.shape.rank) }
        if candidates.count == 1, let other = candidates.first?.name.text, other.utf8.allSatisfy(isPlain) {
            return
                "if these are \"\(other)\": `untangle convert \(store.path.string) data.npz --rename '^\(other)$=>\(name)'`"
        }
        return nearestName(to: name.text, among: store.descriptors.map(\.name.text)).map { "did you mean \"\($0)\"?" }
            ?? ForeignData.hint
    }

    /// Whether a byte stands for itself in a pattern and in a shell.
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
