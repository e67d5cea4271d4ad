import TensorCore

/// Tensors coded in memory as they would be in a file, with all checksums: for measuring the codec without a file system.
package final class SkeinCodedTensors: Sendable {
    private let tensors: [SkeinTensor]
    private let chunks: [(tensor: Int, chunk: Int, coded: EncodedChunk)]
    private let encoders: LendingPool<SkeinChunkEncoder>
    private let decoders: LendingPool<SkeinChunkDecoder>

    package init(_ descriptors: [TensorDescriptor], options: SkeinOptions) throws {
        let index = try SkeinIndex(
            descriptors, chunkByteCount: { _ in options.chunkByteCount }, metadata: Metadata(), base: nil,
            file: "(memory)")
        let largest = min(options.chunkByteCount, descriptors.map(\.byteCount).max() ?? 0)
        let level = options.level
        tensors = index.tensors
        chunks = try index.tensors.enumerated().flatMap { number, tensor in
            try (0..<tensor.chunks.count).map {
                (number, $0, try EncodedChunk(rawByteCount: tensor.range(ofChunk: $0).count))
            }
        }
        encoders = LendingPool { try SkeinChunkEncoder(level: level, rawByteCount: largest) }
        decoders = LendingPool { try SkeinChunkDecoder(rawByteCount: largest) }
    }

    /// The size of all chunks in a file.
    package var byteCount: Int { chunks.reduce(0) { $0 + $1.coded.byteCount } }

    /// Codes the bytes of all tensors, against those of a base where there is one.
    package func encode(_ bytes: [TensorBytes], bases: [TensorBytes?], threads: Int) throws {
        let digests = try tensors.map { try BlockDigests(byteCount: $0.descriptor.byteCount) }
        try parallel(count: chunks.count, threads: threads) { [self] number in
            let (tensor, chunk, coded) = chunks[number]
            let range = tensors[tensor].range(ofChunk: chunk)
            let dtype = tensors[tensor].descriptor.dtype
            try bytes[tensor].withUnsafeBytes { bytes in
                let raw = UnsafeRawBufferPointer(rebasing: bytes[range])
                digests[tensor].update(raw, at: range.lowerBound)
                try encoders.with { encoder in
                    func encode(_ base: UnsafeRawBufferPointer?) {
                        encoder.encode(raw, tensor: tensor, chunk: chunk, dtype: dtype, base: base, into: coded)
                    }
                    bases[tensor]?.withUnsafeBytes { encode(UnsafeRawBufferPointer(rebasing: $0[range])) }
                        ?? encode(nil)
                }
            }
        }
        for digest in digests { _ = digest.combined }
    }

    /// Decodes all tensors after checking every checksum.
    ///
    /// - Parameter targets: a buffer for each tensor, or the same for several.
    /// - Throws: `FormatError` when a checksum is wrong.
    package func decode(into targets: [AlignedBuffer], bases: [TensorBytes?], threads: Int) throws {
        try parallel(count: chunks.count, threads: threads) { [self] number in
            let (tensor, chunk, coded) = chunks[number]
            let range = tensors[tensor].range(ofChunk: chunk)
            let stored = UnsafeRawBufferPointer(rebasing: coded.bytes[..<coded.storedByteCount])
            let header = try SkeinChunkHeader(
                stored, storedByteCount: coded.storedByteCount, expected: coded.headerChecksum)
            let payload = UnsafeRawBufferPointer(rebasing: stored[header.headerByteCount...])
            func decode(_ base: UnsafeRawBufferPointer?) throws {
                guard SkeinHash.tree(payload).low == header.payloadChecksum,
                    !header.transform.needsBase || base.map(SkeinHash.tree)?.low == header.baseChecksum
                else { throw FormatError(.badChecksum, "a chunk in memory is damaged") }
                try decoders.with { decoder in
                    try decoder.unpack(header, payload, at: range.lowerBound)
                    decoder.join(
                        0..<range.count, transform: header.transform, base: base?.baseAddress,
                        into: targets[tensor].address + range.lowerBound)
                }
            }
            guard let base = bases[tensor] else { return try decode(nil) }
            try base.withUnsafeBytes { try decode(UnsafeRawBufferPointer(rebasing: $0[range])) }
        }
    }
}
