import Checkpoints
import Networks
import SystemPackage
import TensorCore

/// The inputs of a data file as a network takes them, and their labels if there are any.
public struct DataFile: Sendable {
    public let inputs: InputSet
    /// One class per input.
    public let labels: [Int]?
    /// What should be known although the inputs can be used.
    public let warnings: [Warning]

    /// Reads inputs and labels.
    ///
    /// - Throws: as `ImageFile` and `TokenFile`.
    public init(
        _ path: FilePath, for input: NetworkInput, normalization: ImageNormalization,
        options: ReadOptions = ReadOptions()
    ) throws {
        switch input {
        case .images(let shape):
            let file = try ImageFile(path, of: shape, normalization: normalization, options: options)
            (inputs, labels, warnings) = (.images(file.images), file.labels, file.warnings)
        case .tokens(let shape):
            let file = try TokenFile(path, of: shape, options: options)
            (inputs, labels, warnings) = (.tokens(file.tokens), file.labels, [])
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
                .unknownFormat, foreign.map { "\(path.string) is \($0.text), and data is an .npz" } ?? error.message,
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
        case .images: return ("holds images, and the model takes texts", "give token ids: see docs/interference.md")
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
