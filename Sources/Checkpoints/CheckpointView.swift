import SystemPackage
import TensorCore

/// Some tensors of a checkpoint, perhaps under other names or several, as a checkpoint of its own. Nothing is copied.
public struct CheckpointView: CheckpointReader {
    private let source: any CheckpointReader
    public let descriptors: [TensorDescriptor]
    /// For every tensor its place in the source.
    private let places: [Int]

    /// Shows tensors of a checkpoint.
    ///
    /// - Parameter tensors: the place of each in the source, and what it is called; a place may come several times.
    /// - Precondition: no name comes twice.
    public init(_ source: any CheckpointReader, showing tensors: [(place: Int, name: TensorName)]) {
        self.source = source
        places = tensors.map(\.place)
        descriptors = tensors.map { source.descriptors[$0.place].renamed($0.name) }
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
        let place = places[index]
        return (source as? CheckpointView)?.storedName(of: place) ?? source.descriptors[place].name
    }

    public var format: FormatID { source.format }
    public var path: FilePath { source.path }
    public var files: [FilePath] { source.files }
    public var metadata: Metadata { source.metadata }
    public var warnings: [Warning] { source.warnings }
    public var unreadable: [UnreadableMember] { source.unreadable }

    public func bytes(of index: Int) throws -> TensorBytes { try source.bytes(of: places[index]) }
    public func isMapped(_ index: Int) -> Bool { source.isMapped(places[index]) }
    public func canReadRanges(of index: Int) -> Bool { source.canReadRanges(of: places[index]) }

    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        try source.read(range, of: places[index], into: target)
    }

    public func location(of index: Int) -> StoredLocation { source.location(of: places[index]) }

    public func decodedTogetherByteCount(of index: Int) -> Int {
        source.decodedTogetherByteCount(of: places[index])
    }

    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        try source.verify(deep: deep, threads: threads, progress: progress)
    }
}
