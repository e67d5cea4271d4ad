import Checkpoints
import SystemPackage
import TensorCore

/// A checkpoint with a tensor under a further name, or without one.
struct CheckpointView: CheckpointReader {
    private let reader: any CheckpointReader
    let descriptors: [TensorDescriptor]
    private let places: [Int]

    /// Shows a checkpoint without one tensor, or with another name for one.
    ///
    /// - Parameters:
    ///   - dropped: a tensor to leave out.
    ///   - alias: a further name for the tensor at a place.
    init(_ reader: any CheckpointReader, without dropped: TensorName? = nil, alias: (TensorName, place: Int)? = nil) {
        self.reader = reader
        var places = reader.descriptors.indices.filter { reader.descriptors[$0].name != dropped }
        var descriptors = places.map { reader.descriptors[$0] }
        if let (name, place) = alias {
            places.append(place)
            descriptors.append(reader.descriptors[place].renamed(name))
        }
        self.places = places
        self.descriptors = descriptors
    }

    var format: FormatID { reader.format }
    var path: FilePath { reader.path }
    var files: [FilePath] { reader.files }
    var metadata: Metadata { reader.metadata }
    package var warnings: [Warning] { reader.warnings }

    func bytes(of index: Int) throws -> TensorBytes { try reader.bytes(of: places[index]) }
    func isMapped(_ index: Int) -> Bool { reader.isMapped(places[index]) }
    func canReadRanges(of index: Int) -> Bool { reader.canReadRanges(of: places[index]) }
    func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        try reader.read(range, of: places[index], into: target)
    }
    func location(of index: Int) -> StoredLocation { reader.location(of: places[index]) }
    func decodedTogetherByteCount(of index: Int) -> Int { reader.decodedTogetherByteCount(of: places[index]) }
    func verify(deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void) throws -> Verification {
        try reader.verify(deep: deep, threads: threads, progress: progress)
    }
}
