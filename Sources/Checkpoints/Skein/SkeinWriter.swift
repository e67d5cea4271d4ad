import Synchronization
import SystemPackage
import TensorCore

/// Writes a compressed .skein file; see `SkeinSeal` for the layout.
///
/// Like every writer it takes pieces from any thread in any order: the thread that completes a chunk codes it, and
/// `OrderedChunks` puts it into its place. So `convert`, `merge` and `resolve` write this format as they write the others, and
/// it is their threads that code in parallel.
public final class SkeinWriter: CheckpointWriter {
    private let output: AtomicOutput
    private let index: SkeinIndex
    /// Where the bytes of each tensor lie.
    private let parts: [SkeinPart]
    private let base: SkeinBase?
    private let assembler: PieceAssembler
    private let digests: [BlockDigests]
    private let ordered: OrderedChunks
    private let encoders: LendingPool<SkeinChunkEncoder>
    private let buffers: LendingPool<EncodedChunk>

    /// Starts the file.
    ///
    /// - Throws: `FormatError` when the format cannot hold the tensors, `wrong_base` when the base is itself stored against a
    ///   base; `IOError` when the file cannot be made or the base not be read.
    public init(
        creating path: FilePath, declaring descriptors: [TensorDescriptor], metadata: Metadata = Metadata(),
        options: WriteOptions = WriteOptions()
    ) throws {
        let settings = options.skein
        if let file = settings.base?.reader.files.first(where: { isSameFile($0, path) }) {
            throw FormatError(
                .wrongBase, "\(file.string) cannot be replaced by what is stored as the difference to it", file: file,
                hint: "write the output somewhere else")
        }
        let chunkByteCount = settings.chunkByteCount
        try Self.check(chunkByteCount)
        base = try settings.base.map { try SkeinBase($0, threads: settings.threads) }
        let groups = SkeinMembers.groups(of: descriptors)
        index = try SkeinIndex(
            descriptors, groups: groups, chunkByteCount: { _ in chunkByteCount }, metadata: metadata,
            base: try base?.reference(), file: path)
        // The index lists the tensors group by group.
        parts = zip(groups.joined(), index.parts).sorted { $0.0 < $1.0 }.map(\.1.part)
        let byteCounts = index.tensors.map(\.descriptor.byteCount)
        let largest = min(chunkByteCount, byteCounts.max() ?? 0)
        let level = settings.level
        encoders = LendingPool { try SkeinChunkEncoder(level: level, rawByteCount: largest) }
        buffers = LendingPool { try EncodedChunk(rawByteCount: largest) }
        assembler = PieceAssembler(
            byteCounts: byteCounts, unitByteCounts: byteCounts.map { _ in chunkByteCount })
        digests = try byteCounts.map { try BlockDigests(byteCount: $0) }
        output = try AtomicOutput(creating: path, byteCount: nil, options: options)
        ordered = OrderedChunks(
            count: index.chunks.count,
            from: SkeinExtent.chunksStart(indexByteCount: index.encoded().count), output: output, buffers: buffers,
            repeats: SkeinRepeats(index.tensors, encoders: encoders, buffers: buffers, rawByteCount: largest),
            waitingByteLimit: settings.waitingByteLimit)
    }

    static func check(_ chunkByteCount: Int) throws(FormatError) {
        guard SkeinOptions.isChunkByteCount(chunkByteCount) else {
            throw FormatError(
                .sizeMismatch, "a chunk cannot have \(chunkByteCount) bytes",
                hint: "--chunk-size takes a power of two from 128 KiB to 16 MiB")
        }
    }

    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        let number = parts[tensor].entry
        try assembler.take(bytes, tensor: number, at: parts[tensor].range.lowerBound + offset) { run, start in
            let entry = index.tensors[number]
            for begin in stride(from: 0, to: run.count, by: entry.chunkByteCount) {
                let end = min(run.count - begin, entry.chunkByteCount) + begin
                try encode(
                    UnsafeRawBufferPointer(rebasing: run[begin..<end]), tensor: number,
                    chunk: (start + begin) / entry.chunkByteCount)
            }
        }
    }

    private func encode(_ raw: UnsafeRawBufferPointer, tensor: Int, chunk: Int) throws {
        let entry = index.tensors[tensor]
        let range = entry.range(ofChunk: chunk)
        digests[tensor].update(raw, at: range.lowerBound)
        let target = try buffers.take()
        try encoders.with { encoder in
            func encode(_ base: UnsafeRawBufferPointer?) {
                encoder.encode(
                    raw, tensor: tensor, chunk: chunk, dtype: entry.descriptor.dtype, base: base, into: target)
            }
            if let base, base.hasMatch(for: entry, in: range) {
                try base.withBytes(for: entry, range: range) { encode($0) }
            } else {
                encode(nil)
            }
        }
        target.rowHeads = entry.rows(inChunk: chunk)?.heads(of: raw) ?? []
        try ordered.put(target, number: entry.chunks.lowerBound + chunk)
    }

    public func finish() throws -> WrittenCheckpoint {
        guard let placement = ordered.finish() else {
            throw IOError(
                kind: .failed, message: "\(assembler.takenByteCount) bytes were written, fewer than were declared",
                file: output.path.string)
        }
        var index = index
        index.chunks = placement.places
        index.isCompact = placement.isPacked
        var gain = SkeinBaseGain()
        for number in index.tensors.indices {
            let chunks = index.tensors[number].chunks
            index.tensors[number].contentHash = digests[number].combined
            index.tensors[number].needsBase = placement.needsBase[chunks].contains(true)
            if let base, index.tensors[number].needsBase, base.isCast(for: index.tensors[number]) {
                index.isCompact = true
            }
            index.tensors[number].isContiguous =
                chunks.count == 1 && placement.isPlain[chunks.lowerBound] && index.tensors[number].members == nil
        }
        for (descriptor, part) in index.parts {
            gain.add(
                descriptor, match: base?.store.descriptor(named: descriptor.name),
                usesBase: index.tensors[part.entry].needsBase)
        }
        let written = try index.seal(output, chunksEnd: placement.end)
        return WrittenCheckpoint(
            files: written.files, byteCount: written.byteCount, baseGain: base == nil ? nil : gain)
    }
}

extension SkeinIndex {
    /// Writes both copies of the index and both seals, and gives the file its name.
    func seal(_ output: AtomicOutput, chunksEnd: Int) throws -> WrittenCheckpoint {
        let bytes = encoded()
        let extent = SkeinExtent(indexByteCount: bytes.count, chunksEnd: chunksEnd)
        try checkExpansion(fileByteCount: extent.fileByteCount, file: output.path)
        let seal = SkeinSeal(
            features: features, indexByteCount: UInt64(bytes.count), secondIndexOffset: UInt64(chunksEnd),
            fileByteCount: UInt64(extent.fileByteCount), indexChecksum: SkeinHash.checksum(bytes))
        func padded(_ bytes: [UInt8]) -> [UInt8] {
            bytes + repeatElement(0, count: bytes.count.roundedUpToSkeinAlignment - bytes.count)
        }
        try output.write(seal.encoded(as: .header) + padded(bytes), at: 0)
        try output.write(padded(bytes) + seal.encoded(as: .footer), at: chunksEnd)
        try output.commit()
        return WrittenCheckpoint(files: [output.path], byteCount: extent.fileByteCount)
    }

    /// Refuses what no reader would open.
    private func checkExpansion(fileByteCount: Int, file: FilePath) throws(FormatError) {
        let limit = max(ReadOptions.defaultExpansionAllowance, Self.decodedByteLimit(fileByteCount: fileByteCount))
        let total = tensors.reduce(0) { $0 + $1.descriptor.byteCount }
        guard total <= limit else {
            throw FormatError(
                .zipBomb, "\(total) bytes would take only \(fileByteCount), and no reader believes such a file",
                file: file,
                hint: "lower --chunk-size: up to 1MiB all data can be written")
        }
    }
}
