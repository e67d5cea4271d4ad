import SystemPackage
import TensorCore

/// Some tensors of a checkpoint, under other names, several times, as the numbers that blocks decode to or with their rows in another
/// order, or with adapters folded in, as a checkpoint of its own. Nothing is copied.
public struct CheckpointView: CheckpointReader {
    package let source: any CheckpointReader
    public let descriptors: [TensorDescriptor]
    public let metadata: Metadata
    public let warnings: [Warning]
    private let tensors: [ViewedTensor]
    /// What tensors are made of besides the source.
    private let adapters: [LoRAAdapter]
    /// Files that say what tensors are.
    private let configuration: [FilePath]

    /// Shows tensors, which are those of a checkpoint but for a few.
    ///
    /// - Parameters:
    ///   - source: what the view is said to be: its format and files.
    ///   - configuration: the files besides that say what the tensors are.
    ///   - metadata: those of the source if nil.
    ///   - notes: warnings besides those of the source.
    /// - Precondition: no name comes twice.
    init(
        _ source: any CheckpointReader, _ tensors: [ViewedTensor], adapters: [LoRAAdapter] = [],
        configuration: [FilePath] = [], metadata: Metadata? = nil, notes: [Warning] = []
    ) {
        self.source = source
        self.tensors = tensors
        self.adapters = adapters
        self.configuration = configuration
        self.metadata = metadata ?? source.metadata
        warnings = source.warnings + adapters.flatMap(\.reader.warnings) + notes
        descriptors = tensors.map(\.descriptor)
    }

    /// Shows tensors of a checkpoint.
    ///
    /// - Parameter tensors: the place of each in the source, and what it is called; a place may come several times.
    /// - Precondition: no name comes twice.
    public init(_ source: any CheckpointReader, showing tensors: [(place: Int, name: TensorName)]) {
        self.init(source, tensors.map { ViewedTensor(source, $0.place, named: $0.name) })
    }

    /// Shows a checkpoint whose tensors are all numbers: those that are stored in blocks as the F32 that these decode to.
    ///
    /// - Throws: `FormatError` `overflow` for a tensor that is too large as F32.
    public init(decoding source: any CheckpointReader) throws(FormatError) {
        var tensors: [ViewedTensor] = []
        for place in source.descriptors.indices { tensors.append(try ViewedTensor(decoding: source, place)) }
        self.init(source, tensors)
    }

    /// Shows a checkpoint without a tensor.
    public init(_ source: any CheckpointReader, without dropped: TensorName) {
        self.init(source, showing: Self.all(of: source).filter { $0.name != dropped })
    }

    /// Shows a checkpoint with a further name for one tensor.
    public init(_ source: any CheckpointReader, alias: TensorName, ofTensorAt place: Int) {
        self.init(source, showing: Self.all(of: source) + [(place, alias)])
    }

    private static func all(of source: any CheckpointReader) -> [(place: Int, name: TensorName)] {
        source.descriptors.enumerated().map { ($0.offset, $0.element.name) }
    }

    /// What the checkpoint calls a tensor, whatever it is shown as.
    public func storedName(of index: Int) -> TensorName {
        let tensor = tensors[index]
        return (tensor.reader as? CheckpointView)?.storedName(of: tensor.place)
            ?? tensor.reader.descriptors[tensor.place].name
    }

    /// What adapters are folded into, here or in a view below; nil where there are none.
    var base: (any CheckpointReader)? {
        let below = (source as? CheckpointView)?.base
        return adapters.isEmpty ? below : below ?? source
    }

    /// The tensors that are put together of codes and scales.
    public var quantizedWeights: [TensorName] {
        descriptors.indices.filter(isQuantized).map { descriptors[$0].name }
    }

    /// Whether a tensor is put together of codes and scales, here or in a view below.
    func isQuantized(_ index: Int) -> Bool { tensors[index].isQuantized }

    public func restingType(of index: Int) -> DType { tensors[index].restingType }

    public var format: FormatID { source.format }
    public var path: FilePath { source.path }
    public var files: [FilePath] { source.files + adapters.flatMap(\.files) + configuration }
    public var unreadable: [UnreadableMember] { source.unreadable }

    /// The bytes of a tensor; those of blocks are decoded.
    ///
    /// - Throws: `FormatError` `unsupported_dtype` for blocks that are not decoded, and what the source throws.
    public func bytes(of index: Int) throws -> TensorBytes { try tensors[index].bytes() }
    public func isMapped(_ index: Int) -> Bool { tensors[index].isMapped }
    public func canReadRanges(of index: Int) -> Bool { tensors[index].canReadRanges }
    public func canReadAnywhere(in index: Int) -> Bool { tensors[index].canReadAnywhere }

    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        try tensors[index].read(range, into: target)
    }

    public func location(of index: Int) -> StoredLocation {
        tensors[index].reader.location(of: tensors[index].place)
    }

    public func decodedTogetherByteCount(of index: Int) -> Int { tensors[index].decodedTogetherByteCount }

    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        var total = try source.verify(deep: deep, threads: threads, progress: progress)
        for adapter in adapters { total += try adapter.reader.verify(deep: deep, threads: threads, progress: progress) }
        return total
    }
}
