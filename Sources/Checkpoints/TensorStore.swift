import SystemPackage
import TensorCore

/// A checkpoint as the rest of the product sees it: tensors by name, bytes on demand, whatever the format.
public final class TensorStore: Sendable {
    public let reader: any CheckpointReader
    /// The path that was asked for, such as a folder, where `path` is the checkpoint found in it.
    public let openedPath: FilePath
    private let indices: [TensorName: Int]

    /// Opens a checkpoint, recognising its format by content. Tensors that are stored in blocks are numbers here: F32, decoded as
    /// they are read, and named as most checkpoints name them, unless `options.keepsBlocks`. So are weights that are stored as codes
    /// with scales, where their layout is known, unless `options.keepsParts`.
    ///
    /// - Throws: `FormatError` with the first rule that is broken, `IOError` when the file cannot be read.
    public convenience init(opening path: FilePath, options: ReadOptions = ReadOptions()) throws {
        let opened = try CheckpointFormat.open(path, options: options)
        let reader = options.keepsBlocks ? opened : try opened.inCommonNames()
        let isPlain = options.keepsBlocks || reader.descriptors.allSatisfy(\.layout.isPlain)
        let numbers = isPlain ? reader : try CheckpointView(decoding: reader)
        if !options.keepsParts, let weights = CheckpointView(weightsOf: numbers) {
            self.init(weights, openedPath: path)
        } else {
            self.init(numbers, openedPath: path)
        }
    }

    public convenience init(_ reader: any CheckpointReader) { self.init(reader, openedPath: reader.path) }

    private init(_ reader: any CheckpointReader, openedPath: FilePath) {
        self.reader = reader
        self.openedPath = openedPath
        indices = Dictionary(
            zip(reader.descriptors.map(\.name), reader.descriptors.indices), uniquingKeysWith: { first, _ in first })
    }

    /// The checkpoint with other names for its tensors.
    ///
    /// - Parameter names: in the order of the tensors.
    /// - Precondition: there is one for each, and none comes twice.
    func renamed(_ names: [TensorName]) -> TensorStore {
        let tensors = zip(descriptors.indices, names).map { (place: $0, name: $1) }
        return TensorStore(CheckpointView(reader, showing: tensors), openedPath: openedPath)
    }

    public var path: FilePath { reader.path }
    public var descriptors: [TensorDescriptor] { reader.descriptors }
    public var metadata: Metadata { reader.metadata }
    /// What is odd about the checkpoint, with its path or its name on the hub, where several are opened.
    public var warnings: [Warning] {
        let snapshot = HubSnapshot(containing: openedPath).flatMap { $0.folder == openedPath ? $0 : nil }
        return reader.warnings.map { $0.about(snapshot?.name.description ?? openedPath.string) }
    }

    /// The tensors before adapters are folded in.
    public var baseDescriptors: [TensorDescriptor] { (reader as? CheckpointView)?.base?.descriptors ?? descriptors }

    /// The weights that are put together of codes and scales.
    public var quantizedWeights: [TensorName] { (reader as? CheckpointView)?.quantizedWeights ?? [] }

    public func index(of name: TensorName) -> Int? { indices[name] }

    public func descriptor(named name: TensorName) -> TensorDescriptor? { indices[name].map { descriptors[$0] } }

    /// The little-endian row-major bytes of a tensor, nil when there is none of the name.
    ///
    /// - Throws: `FormatError` when stored data is damaged, `IOError` when there is no memory to decode it.
    public func bytes(of name: TensorName) throws -> TensorBytes? {
        guard let index = indices[name] else { return nil }
        return try reader.bytes(of: index)
    }
}
