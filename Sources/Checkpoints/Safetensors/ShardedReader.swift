import SystemPackage
import TensorCore

/// A reader of a file that can be one of several shards.
protocol ShardReader: CheckpointReader {
    /// What is wrong with the data of a file that is salvaged.
    var damage: [Damage] { get }
}

extension SafetensorsReader: ShardReader {}
extension TorchReader: ShardReader {}

/// Reads a checkpoint that is split into several safetensors or PyTorch files by way of its index.
public final class ShardedReader: CheckpointReader {
    public let path: FilePath
    public let format: FormatID
    public let files: [FilePath]
    public let descriptors: [TensorDescriptor]
    public let metadata: Metadata
    public let warnings: [Warning]
    private let shards: [any ShardReader]
    private let places: [(shard: Int, index: Int)]

    /// Opens an index and all its shards, and checks that both tell of the same tensors in the same files.
    ///
    /// - Throws: `FormatError` `missing_shard`, `index_mismatch`, the faults of an index and those of a single file;
    ///   `IOError` when a file cannot be read.
    public init(opening path: FilePath, options: ReadOptions = ReadOptions()) throws {
        let index = try ShardIndex(reading: path)
        let format = index.format
        let names = Set(index.places.map { TensorName($0.shard) }).sorted()
        let folder = path.removingLastComponent()
        try Self.requireShards(names, of: path)
        var shards: [any ShardReader] = []
        var shardOptions = options
        shardOptions.notes = []
        for name in names {
            let file = folder.appending(name.text)
            if format == .torch {
                shards.append(try TorchReader(opening: file, options: shardOptions))
            } else {
                shards.append(
                    try FileSignature.open(file, lookingAt: { try $0.requireReadable() }) {
                        try SafetensorsReader(opening: file, options: shardOptions)
                    })
            }
        }
        try Self.compare(index, with: shards, named: names, path: path)

        self.path = path
        self.format = format
        self.shards = shards
        files = [path] + shards.map(\.path)
        descriptors = shards.flatMap(\.descriptors)
        places = shards.enumerated().flatMap { shard, reader in
            reader.descriptors.indices.map { (shard: shard, index: $0) }
        }
        var warnings = options.notes + [Self.warning(ofPartsBeside: names, of: path)].compactMap { $0 }
        metadata = Self.merge(shards, warnings: &warnings)
        // The sizes lie in files that exist, so their sum fits.
        let byteCount = descriptors.reduce(0) { $0 + $1.byteCount }
        if let claimed = index.totalByteCount, claimed != Double(byteCount) {
            let number = Int(exactly: claimed).map(String.init) ?? "\(claimed)"
            warnings.append(
                Warning(
                    FormatWarning.totalSize,
                    "the index claims a total size of \(number) bytes but the tensors have \(byteCount)"))
        }
        for shard in shards {
            warnings += shard.warnings.map { $0.about(shard.path.lastComponent?.string ?? "") }
        }
        self.warnings = warnings
    }

    /// Makes sure that the files are there.
    ///
    /// - Throws: `FormatError` `missing_shard` with those that are not, and where they come from if that is known.
    private static func requireShards(_ names: [TensorName], of index: FilePath) throws(FormatError) {
        let folder = index.removingLastComponent()
        let missing = names.filter { !fileExists(folder.appending($0.text)) }
        guard let first = missing.first else { return }
        let shown = missing.prefix(5).map(\.description).joined(separator: ", ") + (missing.count > 5 ? ", ..." : "")
        let snapshot = HubSnapshot(containing: index)
        throw FormatError(
            .missingShard,
            (missing.count == 1
                ? "the index names the file \(first), which is not there"
                : "the index names \(missing.count) files that are not there: \(shown)") + (snapshot?.unfinished ?? ""),
            file: index,
            hint: snapshot.map { "the hub's cache is incomplete: \($0.command(toFetch: missing.map(\.text)))" }
                ?? "download what is missing into the folder of the index")
    }

    /// What is warned of when parts lie beside those that the index names, as of an older split or one that was not finished.
    private static func warning(ofPartsBeside names: [TensorName], of index: FilePath) -> Warning? {
        let folder = index.removingLastComponent()
        let stems = Set(names.compactMap { ShardName($0.text)?.stem })
        let known = Set(names.map(\.text))
        let others = ((try? entries(of: folder)) ?? []).filter { name in
            guard let part = ShardName(name), stems.contains(part.stem), !known.contains(name) else { return false }
            return FilePath(name).extension == names.first.flatMap { FilePath($0.text).extension }
        }
        guard let first = others.first else { return nil }
        return Warning(
            FormatWarning.otherParts,
            "\(index.string) does not name \(first.escapingControlCharacters)"
                + (others.count > 1 ? " and \(others.count - 1) more such files" : "")
                + " beside it, as of an older split; \(others.count == 1 ? "it is" : "they are") left out")
    }

    /// Checks that each tensor lies in the shard that the index names, and that the shards hold no others.
    private static func compare(
        _ index: ShardIndex, with shards: [any ShardReader], named names: [TensorName], path: FilePath
    ) throws(FormatError) {
        var shardOf: [TensorName: Int] = [:]
        for (shard, reader) in shards.enumerated() {
            for descriptor in reader.descriptors {
                if let other = shardOf.updateValue(shard, forKey: descriptor.name) {
                    throw FormatError(
                        .indexMismatch,
                        "tensor \"\(descriptor.name)\" lies in both \(names[other]) and \(names[shard])", file: path,
                        tensor: descriptor.name)
                }
            }
        }
        let lost = Set(shards.flatMap { $0.damage.compactMap(\.tensor) + $0.unreadable.map(\.name) })
        for place in index.places where !lost.contains(place.tensor) {
            guard let shard = shardOf.removeValue(forKey: place.tensor) else {
                throw FormatError(
                    .indexMismatch,
                    "tensor \"\(place.tensor)\" is not in \(TensorName(place.shard)), nor in another shard",
                    file: path, tensor: place.tensor, byteOffset: place.byteOffset)
            }
            guard names[shard] == TensorName(place.shard) else {
                throw FormatError(
                    .indexMismatch,
                    "tensor \"\(place.tensor)\" lies in \(names[shard]) but the index says \(TensorName(place.shard))",
                    file: path, tensor: place.tensor, byteOffset: place.byteOffset)
            }
        }
        if let extra = shardOf.min(by: { $0.key < $1.key }) {
            throw FormatError(
                .indexMismatch, "tensor \"\(extra.key)\" lies in \(names[extra.value]) but is not in the index",
                file: path, tensor: extra.key)
        }
    }

    /// The metadata of all shards; where they disagree the first one counts.
    private static func merge(_ shards: [any ShardReader], warnings: inout [Warning]) -> Metadata {
        var values: [TensorName: String] = [:]
        var entries: [Metadata.Entry] = []
        for shard in shards {
            for entry in shard.metadata.entries {
                if let value = values[TensorName(entry.key)] {
                    if !value.utf8.elementsEqual(entry.value.utf8) {
                        warnings.append(
                            Warning(
                                FormatWarning.shardMetadata,
                                "the shards disagree about the metadata \"\(entry.key.escapingControlCharacters)\"; "
                                    + "the first one counts"))
                    }
                } else {
                    values[TensorName(entry.key)] = entry.value
                    entries.append(entry)
                }
            }
        }
        return Metadata(uniqueEntries: entries)
    }

    public var unreadable: [UnreadableMember] { shards.flatMap(\.unreadable) }

    public func isMapped(_ index: Int) -> Bool { shards[places[index].shard].isMapped(places[index].index) }
    public func canReadRanges(of index: Int) -> Bool {
        shards[places[index].shard].canReadRanges(of: places[index].index)
    }
    public func decodedTogetherByteCount(of index: Int) -> Int {
        shards[places[index].shard].decodedTogetherByteCount(of: places[index].index)
    }
    public func bytes(of index: Int) throws -> TensorBytes {
        try shards[places[index].shard].bytes(of: places[index].index)
    }
    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        try shards[places[index].shard].read(range, of: places[index].index, into: target)
    }
    public func location(of index: Int) -> StoredLocation {
        shards[places[index].shard].location(of: places[index].index)
    }

    /// Reads all shards, as the reader of each does.
    ///
    /// - Throws: as `CheckpointReader.verify`.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        var result = Verification()
        for shard in shards {
            result += try shard.verify(deep: deep, threads: threads, progress: progress)
        }
        return result
    }
}
