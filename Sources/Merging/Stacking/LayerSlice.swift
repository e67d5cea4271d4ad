import Checkpoints
import SystemPackage
import TensorCore

/// Some layers of a checkpoint under other numbers, and what stands before and behind them. Nothing is copied.
public struct LayerSlice: CheckpointReader {
    public let descriptors: [TensorDescriptor]
    private let source: any CheckpointReader
    /// For every tensor its place in the source.
    private let places: [Int]

    /// Takes a range of layers out of a checkpoint and numbers them anew.
    ///
    /// - Parameters:
    ///   - layers: which layers of the source there are.
    ///   - firstLayer: the number that the first of them gets.
    ///   - includesTensorsBefore: whether there is what comes before the layers, such as embeddings.
    ///   - includesTensorsBehind: whether there is what comes behind the layers, such as the final norm and the head.
    /// - Throws: `DescriptorError` when a tensor cannot have its new name.
    public init(
        of source: any CheckpointReader, layers: Range<Int>, firstLayer: Int, includesTensorsBefore: Bool,
        includesTensorsBehind: Bool
    ) throws {
        var descriptors: [TensorDescriptor] = []
        var places: [Int] = []
        for (place, descriptor) in source.descriptors.enumerated() {
            if let name = LayerName(descriptor.name) {
                guard layers.contains(name.number) else { continue }
                descriptors.append(
                    try TensorDescriptor(
                        name: name.inLayer(name.number - layers.lowerBound + firstLayer), dtype: descriptor.dtype,
                        shape: descriptor.shape))
            } else {
                guard descriptor.name.comesBeforeLayers ? includesTensorsBefore : includesTensorsBehind else {
                    continue
                }
                descriptors.append(descriptor)
            }
            places.append(place)
        }
        self.source = source
        self.descriptors = descriptors
        self.places = places
    }

    /// What the source calls a tensor.
    func storedName(of index: Int) -> TensorName { source.descriptors[places[index]].name }

    public var format: FormatID { source.format }
    public var path: FilePath { source.path }
    public var files: [FilePath] { source.files }
    public var metadata: Metadata { source.metadata }
    public var warnings: [Warning] { source.warnings }

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
