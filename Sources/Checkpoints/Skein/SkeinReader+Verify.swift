import Synchronization
import TensorCore

extension SkeinReader {
    /// Reads the whole file and checks every checksum and every zero between the parts.
    ///
    /// What is wrong with one chunk, be it damaged, of an unknown codec, or without the base that it needs, is damage of its
    /// tensor and hides nothing else. Chunks of a tensor with the same fault are one entry.
    ///
    /// - Parameter deep: also decode every chunk and compare the contents of each tensor with its hash.
    /// - Throws: `FormatError` when the file cannot be understood at all; `IOError` when there is no memory, or the base that
    ///   the options name cannot be opened.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        var result = Verification(checkedByteCount: file.byteCount)
        result.damage = try SkeinFrame(
            file, salvaging: true, expansionAllowance: options.expansionAllowance
        ).damage
        let chunks = index.tensors.enumerated().flatMap { number, tensor in
            (0..<tensor.chunks.count).map { (tensor: number, chunk: $0) }
        }
        let found = Mutex([[ChunkFault]](repeating: [], count: chunks.count))
        let digests = try index.tensors.map { tensor in
            deep && !tensor.isContiguous ? try BlockDigests(byteCount: tensor.descriptor.byteCount) : nil
        }
        try parallel(count: chunks.count, threads: threads) { [self] position in
            let (tensor, chunk) = chunks[position]
            defer { progress(index.chunks[index.tensors[tensor].chunks.lowerBound + chunk].range.count) }
            let faults = try check(chunk, of: tensor, digests: digests[tensor])
            if !faults.isEmpty { found.withLock { $0[position] = faults } }
        }
        let faults = found.withLock { $0 }.flatMap { $0 }
        result.damage += damage(of: faults)
        let faulty = Set(faults.compactMap(\.tensor))
        for (number, tensor) in index.tensors.enumerated() {
            guard let digests = digests[number], !faulty.contains(number), digests.combined != tensor.contentHash else {
                continue
            }
            result.damage += damage(of: [contentFault(of: number)])
        }
        return result
    }

    /// What is wrong with one chunk.
    private struct ChunkFault {
        /// The entry of the index; nil for what lies behind a chunk.
        let tensor: Int?
        /// The bytes of the entry that are lost.
        let bytes: Range<Int>
        let range: Range<Int>
        let reason: String
    }

    /// One entry for chunks of a tensor that share a reason, such as the base that is missing.
    private func damage(of faults: [ChunkFault]) -> [Damage] {
        var runs: [ChunkFault] = []
        for fault in faults {
            if let last = runs.last, last.tensor != nil, last.tensor == fault.tensor, last.reason == fault.reason {
                runs[runs.count - 1] = ChunkFault(
                    tensor: last.tensor, bytes: last.bytes.lowerBound..<fault.bytes.upperBound,
                    range: last.range.lowerBound..<fault.range.upperBound, reason: last.reason)
            } else {
                runs.append(fault)
            }
        }
        return runs.flatMap { run in
            let names: [TensorName?] = run.tensor.map { index.tensors[$0].names(in: run.bytes) } ?? [nil]
            return names.map {
                Damage(
                    tensor: $0, file: path, offset: run.range.lowerBound, byteCount: run.range.count, reason: run.reason
                )
            }
        }
    }

    private func check(_ chunk: Int, of number: Int, digests: BlockDigests?) throws -> [ChunkFault] {
        let tensor = index.tensors[number]
        let place = index.chunks[tensor.chunks.lowerBound + chunk]
        do {
            if tensor.isContiguous {
                if try checkContiguous(number) != tensor.contentHash { return [contentFault(of: number)] }
            } else {
                try decoders.with { decoder in
                    let (header, payload) = try load(chunk, of: number, with: decoder)
                    guard let digests else { return }
                    try unpack(header, payload, with: decoder)
                    let range = tensor.range(ofChunk: chunk)
                    let target = UnsafeMutableRawBufferPointer(start: decoder.output.address, count: range.count)
                    try join(range, with: decoder, into: target)
                    digests.update(UnsafeRawBufferPointer(target), at: range.lowerBound)
                }
            }
        } catch let error as FormatError {
            let other = error.file.flatMap { $0 == path.string ? nil : $0 }
            let reason = other.map { "its base \($0) cannot be used: \(error.message)" } ?? error.message
            return [
                ChunkFault(
                    tensor: number, bytes: tensor.range(ofChunk: chunk), range: place.storedRange, reason: reason)
            ]
        }
        let padding = place.storedRange.upperBound..<place.range.upperBound
        let isZero = (try? file.read(padding))?.allSatisfy { $0 == 0 } ?? false
        guard !isZero else { return [] }
        // Not the tensor's: it can be read, and salvaged, without a doubt.
        return [ChunkFault(tensor: nil, bytes: 0..<0, range: padding, reason: "the padding behind a chunk is not zero")]
    }

    private func contentFault(of number: Int) -> ChunkFault {
        let tensor = index.tensors[number]
        return ChunkFault(
            tensor: number, bytes: 0..<tensor.descriptor.byteCount,
            range: storedRange(of: number, in: 0..<tensor.descriptor.byteCount),
            reason: "the contents do not have the hash that the index states")
    }
}
