import Checkpoints
import Kernels
import SystemPackage
import TensorCore

/// What a model card says of the inputs: the hashes of their files, and the norms of their tensors.
///
/// Every file is read once, front to back, by one thread: inputs may be far larger than memory, and what costs is reading.
/// Norms of tensors that are not stored as they are, such as compressed ones, take a second reading.
struct InputSurvey {
    /// One file with weights.
    struct File: Sendable {
        let path: FilePath
        let byteCount: Int
        let hash: ContentHash
    }

    /// For each model its files and norms.
    let models: [(files: [File], norms: ModelNorms)]

    /// Reads norms and hashes of the models, file by file.
    ///
    /// - Parameters:
    ///   - stores: the models as they take part in the merge.
    ///   - names: for every model the tensors whose norms count.
    init(of stores: [TensorStore], _ names: [[TensorName]], threads: Int) throws {
        let files = stores.enumerated().flatMap { model, store in
            store.reader.files.filter { $0.extension != "json" }.map { (model: model, path: $0) }
        }
        let results = try parallelMap(count: files.count, threads: threads) { place in
            let (model, path) = files[place]
            return try Self.survey(path, Self.ranges(of: names[model], in: stores[model], path))
        }
        models = try stores.enumerated().map { model, store in
            let own = zip(files, results).filter { $0.0.model == model }.map(\.1)
            let names = names[model]
            let sums = Dictionary(own.map { ($0.0.path, $0.1) }, uniquingKeysWith: { first, _ in first })
            var norms = try ModelNorms(
                of: store, names.filter { Self.range(of: $0, in: store) == nil }, threads: threads)
            for name in names {
                guard let location = Self.range(of: name, in: store) else { continue }
                norms[name] = sums[location.file]?[location.range]
            }
            return (own.map(\.0), norms)
        }
    }

    /// Where a tensor's bytes lie as they are; nil for other tensors, and for those that do not compute.
    private static func range(of name: TensorName, in store: TensorStore) -> StoredLocation? {
        guard let place = store.index(of: name), store.reader.isMapped(place) else { return nil }
        let descriptor = store.descriptors[place]
        let location = store.reader.location(of: place)
        guard descriptor.dtype.isComputable, location.range.count == descriptor.byteCount,
            store.reader.files.contains(location.file)
        else { return nil }
        return location
    }

    /// The tensors in a file by where they lie; a tensor under several names counts once.
    private static func ranges(
        of names: [TensorName], in store: TensorStore, _ file: FilePath
    ) -> [(range: Range<Int>, dtype: DType)] {
        var ranges: [Range<Int>: DType] = [:]
        for name in names {
            guard let location = range(of: name, in: store), location.file == file, !location.range.isEmpty else {
                continue
            }
            ranges[location.range] = store.descriptor(named: name)?.dtype
        }
        return ranges.map { (range: $0.key, dtype: $0.value) }.sorted { $0.range.lowerBound < $1.range.lowerBound }
    }

    private static let pieceByteCount = 64 << 10

    private static func survey(
        _ path: FilePath, _ tensors: [(range: Range<Int>, dtype: DType)]
    ) throws -> (File, [Range<Int>: NormSums]) {
        let file = try MappedFile(path)
        guard tensors.last.map({ $0.range.upperBound <= file.byteCount }) ?? true else {
            throw IOError(
                kind: .failed, message: "\(path.string) has become shorter while it was merged", file: path.string)
        }
        let hash = ContentHash.Accumulator()
        var sums: [Range<Int>: NormSums] = [:]
        file.withUnsafeBytes { bytes in
            var position = 0
            for tensor in tensors where tensor.range.lowerBound >= position {
                hash.update(UnsafeRawBufferPointer(rebasing: bytes[position..<tensor.range.lowerBound]))
                var sum = NormSums()
                // A piece holds whole elements of every type that computes, and is in the cache for the second look at it.
                for start in stride(from: tensor.range.lowerBound, to: tensor.range.upperBound, by: pieceByteCount) {
                    let end = min(start + pieceByteCount, tensor.range.upperBound)
                    let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
                    hash.update(piece)
                    sum.add(piece, tensor.dtype)
                }
                sums[tensor.range] = sum
                position = tensor.range.upperBound
            }
            hash.update(UnsafeRawBufferPointer(rebasing: bytes[position...]))
        }
        return (File(path: path, byteCount: file.byteCount, hash: hash.finish()), sums)
    }
}
