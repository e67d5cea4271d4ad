import Glibc
import SystemPackage
import TensorCore

/// Writes a checkpoint as several safetensors files with an index.
///
/// An output `model.safetensors` becomes `model-00001-of-00002.safetensors`, … and `model.safetensors.index.json`. The
/// shards get their names first and the index last, so that an index never names a file that is not there.
public final class ShardedSafetensorsWriter: CheckpointWriter {
    private let path: FilePath
    private let shards: [SafetensorsWriter]
    private let shardNames: Set<String>
    private let index: AtomicOutput
    private let indexText: [UInt8]
    /// For each declared tensor its shard and its position there.
    private let places: [(shard: Int, tensor: Int)]
    private let replacesSingleFile: Bool

    /// Splits the tensors greedily in the order of a single file.
    ///
    /// - Parameter limit: the most bytes of tensor data in a shard; a larger tensor gets a shard of its own.
    /// - Throws: `FormatError` when the format cannot hold the tensors, `IOError` when a file cannot be made.
    public init(
        creating path: FilePath, declaring descriptors: [TensorDescriptor], metadata: Metadata = Metadata(),
        limit: Int, options: WriteOptions = WriteOptions()
    ) throws {
        let groups = try Self.split(descriptors, limit: limit, file: path)
        let stem = path.stem ?? "model"
        let folder = path.removingLastComponent()
        var singleFile = stat()
        replacesSingleFile = stat(path.string, &singleFile) == 0
        if replacesSingleFile, !options.force {
            throw IOError(
                code: "io.exists",
                message: "\(path.string) exists already and would be taken for the checkpoint instead of its shards",
                file: path.string, hint: "use --force to replace it")
        }
        var places = [(shard: Int, tensor: Int)](repeating: (0, 0), count: descriptors.count)
        var shards: [SafetensorsWriter] = []
        var names: [(tensor: TensorName, shard: String)] = []
        for (shard, group) in groups.enumerated() {
            let name = "\(stem)-\(Self.fiveDigits(shard + 1))-of-\(Self.fiveDigits(groups.count)).safetensors"
            for (position, tensor) in group.enumerated() {
                places[tensor] = (shard, position)
                names.append((descriptors[tensor].name, name))
            }
            shards.append(
                try SafetensorsWriter(
                    creating: folder.appending(name), declaring: group.map { descriptors[$0] }, metadata: metadata,
                    options: options))
        }
        indexText = ShardIndex.text(
            totalByteCount: descriptors.reduce(0) { $0 + $1.byteCount }, places: names)
        index = try AtomicOutput(
            creating: folder.appending("\(stem).safetensors.index.json"), byteCount: indexText.count, options: options)
        self.path = path
        self.shards = shards
        shardNames = Set(names.map(\.shard))
        self.places = places
    }

    /// The tensors of each shard, by position in the declared list.
    ///
    /// - Throws: `FormatError` when the format cannot hold the tensors.
    static func split(
        _ descriptors: [TensorDescriptor], limit: Int, file: FilePath
    ) throws(FormatError) -> [[Int]] {
        var total = 0
        for descriptor in descriptors {
            let (sum, overflow) = total.addingReportingOverflow(descriptor.byteCount)
            guard !overflow else {
                throw FormatError(.overflow, "the tensors are larger than 63 bits can count", file: file)
            }
            total = sum
        }
        var groups: [[Int]] = [[]]
        var byteCount = 0
        for tensor in try SafetensorsLayout.order(of: descriptors, file: file) {
            if !groups[groups.count - 1].isEmpty, descriptors[tensor].byteCount > limit - byteCount {
                groups.append([])
                byteCount = 0
            }
            groups[groups.count - 1].append(tensor)
            byteCount += descriptors[tensor].byteCount
        }
        return groups
    }

    private static func fiveDigits(_ number: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
    }

    /// The shards that only the index which is about to be replaced names; of those no more than have names that this writer
    /// gives.
    private func leftOverShards() -> [FilePath] {
        guard let old = try? ShardIndex(reading: index.path) else { return [] }
        let stem = path.stem ?? "model"
        return Set(old.places.map(\.shard)).subtracting(shardNames).filter { Self.isShard($0, of: stem) }
            .map { path.removingLastComponent().appending($0) }
    }

    /// Whether a name is `STEM-00001-of-00002.safetensors` with any numbers.
    private static func isShard(_ name: String, of stem: String) -> Bool {
        let numbers = name.utf8.dropFirst(stem.utf8.count + 1).dropLast(".safetensors".utf8.count)
        guard name.hasPrefix("\(stem)-"), name.hasSuffix(".safetensors"), numbers.count == 14 else { return false }
        let isDigit = { (byte: UInt8) in (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
        return numbers.prefix(5).allSatisfy(isDigit) && numbers.suffix(5).allSatisfy(isDigit)
            && numbers.dropFirst(5).prefix(4).elementsEqual("-of-".utf8)
    }

    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        let place = places[tensor]
        try shards[place.shard].write(bytes, tensor: place.tensor, at: offset)
    }

    public func finish() throws -> WrittenCheckpoint {
        try index.write(indexText, at: 0)
        for shard in shards { try shard.flush() }
        try index.flush()
        let leftOver = leftOverShards()
        // Until the new index stands there is no checkpoint, rather than an old index over new shards.
        unlink(index.path.string)
        var files: [FilePath] = []
        var byteCount = indexText.count
        for shard in shards {
            let written = try shard.finish()
            files += written.files
            byteCount += written.byteCount
        }
        try index.commit()
        // A single file of the old checkpoint would be found before the index.
        if replacesSingleFile { unlink(path.string) }
        for file in leftOver { unlink(file.string) }
        return WrittenCheckpoint(files: files + [index.path], byteCount: byteCount)
    }
}
