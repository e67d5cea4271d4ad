import SystemPackage
import TensorCore

/// Writes a .skein file without compression: one chunk for each tensor, whose bytes can be mapped, with the hashes of its
/// blocks, so that a part can be checked by itself.
///
/// Every position follows from the declaration, so pieces go straight to their places from any thread.
public final class SkeinStoredWriter: CheckpointWriter {
    private let output: AtomicOutput
    private let index: SkeinIndex
    private let chunksEnd: Int
    private let assembler: PieceAssembler
    private let digests: [BlockDigests]

    /// Lays the file out and reserves its space.
    ///
    /// - Throws: `FormatError` when the format cannot hold the tensors, `IOError` when the file cannot be made.
    public init(
        creating path: FilePath, declaring descriptors: [TensorDescriptor], metadata: Metadata = Metadata(),
        options: WriteOptions = WriteOptions()
    ) throws {
        // An empty tensor has no chunk, whatever size that would have.
        var index = try SkeinIndex(
            descriptors, chunkByteCount: { $0.byteCount > 0 ? $0.byteCount : SkeinOptions.defaultChunkByteCount },
            metadata: metadata, base: nil, file: path)
        var position = SkeinExtent.chunksStart(indexByteCount: index.encoded().count)
        for number in index.tensors.indices {
            let byteCount = index.tensors[number].descriptor.byteCount
            index.tensors[number].isContiguous = byteCount > 0
            // The hash of a single block is that of the tensor.
            index.tensors[number].hasBlockHashes = byteCount > SkeinHash.blockByteCount
            for chunk in index.tensors[number].chunks {
                index.chunks[chunk].offset = position
                index.chunks[chunk].storedByteCount =
                    SkeinChunkHeader.minimumByteCount + byteCount + index.tensors[number].blockHashByteCount
                position = index.chunks[chunk].range.upperBound
            }
            // A tensor has less than 2^60 bytes, whose bits are counted in 63, so that the sum was one.
            guard position < SkeinExtent.byteLimit else {
                throw FormatError(.overflow, "the file would have more than 2^60 bytes", file: path)
            }
        }
        self.index = index
        chunksEnd = position
        // The blocks of the checksum are the units, so that pieces of any size can be hashed as they come.
        assembler = PieceAssembler(
            byteCounts: descriptors.map(\.byteCount),
            unitByteCounts: descriptors.map { _ in SkeinHash.blockByteCount })
        digests = try descriptors.map { try BlockDigests(byteCount: $0.byteCount) }
        let extent = SkeinExtent(indexByteCount: index.encoded().count, chunksEnd: position)
        output = try AtomicOutput(creating: path, byteCount: extent.fileByteCount, options: options)
    }

    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        guard !bytes.isEmpty else { return }
        let place = index.chunks[index.tensors[tensor].chunks.lowerBound]
        try assembler.take(bytes, tensor: tensor, at: offset) { run, start in
            digests[tensor].update(run, at: start)
            try output.write(run, at: place.offset + SkeinChunkHeader.minimumByteCount + start)
        }
    }

    public func finish() throws -> WrittenCheckpoint {
        let declared = index.tensors.reduce(0) { $0 + $1.descriptor.byteCount }
        guard assembler.takenByteCount == declared else {
            throw IOError(
                kind: .failed, message: "\(assembler.takenByteCount) of \(declared) declared bytes were written",
                file: output.path.string)
        }
        var index = index
        for number in index.tensors.indices {
            let hash = digests[number].combined
            index.tensors[number].contentHash = hash
            guard let chunk = index.tensors[number].chunks.first else { continue }
            let byteCount = index.tensors[number].descriptor.byteCount
            var header = SkeinChunkHeader(
                tensor: number, chunk: 0, transform: .none, byteCount: byteCount,
                planes: [SkeinChunkHeader.Plane(codec: .raw, byteCount: byteCount)])
            // The payload is the contents.
            header.payloadChecksum = hash.low
            var bytes = [UInt8](repeating: 0, count: SkeinChunkHeader.minimumByteCount)
            index.chunks[chunk].headerChecksum = bytes.withUnsafeMutableBytes { header.store(to: $0.baseAddress!) }
            try output.write(bytes, at: index.chunks[chunk].offset)
            if index.tensors[number].hasBlockHashes {
                try output.write(
                    digests[number].bytes, at: index.chunks[chunk].offset + bytes.count + byteCount)
            }
        }
        return try index.seal(output, chunksEnd: chunksEnd)
    }
}
