import Synchronization
import TensorCore

extension SkeinReader {
    /// Reads the whole file and checks every checksum and every zero between the parts.
    ///
    /// - Parameter deep: also decode every chunk and compare the contents of each tensor with its hash.
    /// - Throws: `FormatError` when the file cannot be understood at all, and `missing_base` or `wrong_base` from a deep check
    ///   of a file that needs one; `IOError`.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        var result = Verification(checkedByteCount: file.byteCount)
        result.damage = try SkeinFrame(file, salvaging: true).damage
        let chunks = index.tensors.enumerated().flatMap { number, tensor in
            (0..<tensor.chunks.count).map { (tensor: number, chunk: $0) }
        }
        let found = Mutex([[Damage]](repeating: [], count: chunks.count))
        let digests = deep ? index.tensors.map { BlockDigests(byteCount: $0.descriptor.byteCount) } : []
        try concurrently(count: chunks.count, threads: threads) { [self] position in
            let (tensor, chunk) = chunks[position]
            defer { progress(index.chunks[index.tensors[tensor].chunks.lowerBound + chunk].range.count) }
            let damage = try check(chunk, of: tensor, digests: deep ? digests[tensor] : nil)
            if !damage.isEmpty { found.withLock { $0[position] = damage } }
        }
        let damage = found.withLock { $0 }.flatMap { $0 }
        result.damage += damage
        if deep {
            let damaged = Set(damage.compactMap(\.tensor))
            for (number, tensor) in index.tensors.enumerated()
            where !tensor.isContiguous && !damaged.contains(tensor.descriptor.name)
                && digests[number].combined != tensor.contentHash
            {
                result.damage.append(contentDamage(of: number))
            }
        }
        return result
    }

    /// What is wrong with one chunk.
    private func check(_ chunk: Int, of number: Int, digests: BlockDigests?) throws -> [Damage] {
        let tensor = index.tensors[number]
        let place = index.chunks[tensor.chunks.lowerBound + chunk]
        var damage: [Damage] = []
        do {
            if tensor.isContiguous {
                if try checkContiguous(number) != tensor.contentHash { damage.append(contentDamage(of: number)) }
            } else {
                try decoders.with { decoder in
                    let (header, payload) = try load(chunk, of: number, with: decoder)
                    guard let digests else { return }
                    let range = tensor.range(ofChunk: chunk)
                    let target = UnsafeMutableRawBufferPointer(start: decoder.output.address, count: range.count)
                    try decode(range, of: number, chunk: chunk, header, payload, with: decoder, into: target)
                    digests.update(UnsafeRawBufferPointer(target), at: range.lowerBound)
                }
            }
        } catch let error as FormatError where error.category.isDamage && error.file == path.string {
            damage.append(
                Damage(
                    tensor: tensor.descriptor.name, file: path, offset: place.offset,
                    byteCount: place.storedByteCount, reason: error.message))
        } catch let error as FormatError where options.salvaging && [.missingBase, .wrongBase].contains(error.category)
        {
            damage.append(
                Damage(
                    tensor: tensor.descriptor.name, file: path, offset: place.offset, byteCount: place.storedByteCount,
                    reason: error.message))
        }
        let padding = place.storedRange.upperBound..<place.range.upperBound
        let isZero = (try? file.read(padding))?.allSatisfy { $0 == 0 } ?? false
        if !isZero, damage.isEmpty {
            damage.append(
                // Not the tensor's: it can be read, and salvaged, without a doubt.
                Damage(
                    tensor: nil, file: path, offset: padding.lowerBound, byteCount: padding.count,
                    reason: "the padding behind a chunk is not zero"))
        }
        return damage
    }

    private func contentDamage(of number: Int) -> Damage {
        let location = location(of: number)
        return Damage(
            tensor: descriptors[number].name, file: path, offset: location.range.lowerBound,
            byteCount: location.range.count, reason: "the contents do not have the hash that the index states")
    }
}
