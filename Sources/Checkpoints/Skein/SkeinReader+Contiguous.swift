import Synchronization
import TensorCore

// A contiguous tensor of more than one block carries the hashes of its blocks behind its payload, and they hash to its content
// hash. So rows are checked by the blocks that hold them, and the tensor is hashed in full only when all of it is asked for,
// and then once.

/// What is known of a contiguous tensor.
final class ContiguousCheck: Sendable {
    /// Whether all of its bytes were compared with their checksum. Locked while they are.
    let isWhole = Mutex(false)
    /// The hashes of its blocks, once they were read and compared with the hash over them.
    let blockHashes = Mutex<[UInt8]?>(nil)
}

extension SkeinReader {
    /// The bytes of a contiguous tensor in the file, checked on the first call.
    func contiguousRange(of number: Int) throws -> Range<Int> {
        try contiguousChecks[number]?.isWhole.withLock { isWhole in
            if !isWhole { _ = try checkContiguous(number) }
            isWhole = true
        }
        return payload(of: number)
    }

    private func payload(of number: Int) -> Range<Int> {
        let tensor = index.tensors[number]
        let start = index.chunks[tensor.chunks.lowerBound].offset + SkeinChunkHeader.minimumByteCount
        return start..<start + tensor.descriptor.byteCount
    }

    /// Reads a part of a contiguous tensor and checks the blocks that hold it.
    func readContiguous(_ range: Range<Int>, of number: Int, into target: UnsafeMutableRawBufferPointer) throws {
        let tensor = index.tensors[number]
        // A lock that is taken means that somebody hashes all of it, which need not be waited for.
        let isChecked = contiguousChecks[number]?.isWhole.withLockIfAvailable { $0 } ?? false
        guard tensor.hasBlockHashes, !isChecked else {
            let start = try contiguousRange(of: number).lowerBound
            return try readPayload(of: number, into: target, at: start + range.lowerBound)
        }
        let hashes = try blockHashes(of: number)
        let start = payload(of: number).lowerBound
        let buffer = try AlignedBuffer(byteCount: SkeinHash.blockByteCount, isZeroed: false)
        var position = range.lowerBound
        while position < range.upperBound {
            let blockNumber = position / SkeinHash.blockByteCount
            let block = tensor.block(blockNumber)
            let part = block.clamped(to: range)
            let place = UnsafeMutableRawBufferPointer(
                rebasing: target[part.lowerBound - range.lowerBound..<part.upperBound - range.lowerBound])
            let whole =
                part == block ? place : UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[..<block.count])
            try readPayload(of: number, into: whole, at: start + block.lowerBound)
            let isRight = hashes.withUnsafeBytes {
                ContentHash(UnsafeRawBufferPointer(rebasing: $0[blockNumber * 16..<blockNumber * 16 + 16]))
                    == SkeinHash.digest(UnsafeRawBufferPointer(whole))
            }
            guard isRight else {
                throw damage(
                    .badChecksum, "the checksum of its block at byte \(block.lowerBound) is wrong", tensor: number,
                    chunk: 0)
            }
            if part != block {
                let skipped = part.lowerBound - block.lowerBound
                place.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[skipped..<skipped + part.count]))
            }
            position = part.upperBound
        }
    }

    private func readPayload(
        of number: Int, into target: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(FormatError) {
        do { try file.read(into: target, at: offset) } catch {
            throw damage(.badChecksum, error.reason, tensor: number, chunk: 0)
        }
    }

    /// The hashes of the blocks of a tensor, read on the first call.
    private func blockHashes(of number: Int) throws -> [UInt8] {
        guard let check = contiguousChecks[number] else { return [] }
        return try check.blockHashes.withLock { known in
            if let known { return known }
            let header = try contiguousHeader(of: number)
            let hashes = try storedBlockHashes(of: number)
            guard hashes.withUnsafeBytes({ SkeinHash.digest($0) }).low == header.payloadChecksum else {
                throw damage(.badChecksum, "the hashes of its blocks are damaged", tensor: number, chunk: 0)
            }
            known = hashes
            return hashes
        }
    }

    private func storedBlockHashes(of number: Int) throws(FormatError) -> [UInt8] {
        let start = payload(of: number).upperBound
        do { return try file.read(start..<start + index.tensors[number].blockHashByteCount) } catch {
            throw damage(.badChecksum, error.reason, tensor: number, chunk: 0)
        }
    }

    private func contiguousHeader(of number: Int) throws -> SkeinChunkHeader {
        let offset = index.chunks[index.tensors[number].chunks.lowerBound].offset
        let bytes: [UInt8]
        do { bytes = try file.read(offset..<offset + SkeinChunkHeader.minimumByteCount) } catch {
            throw damage(.badChecksum, error.reason, tensor: number, chunk: 0)
        }
        return try bytes.withUnsafeBytes { try header($0, chunk: 0, of: number) }
    }

    /// Checks the header, the contents and the block hashes of a contiguous tensor.
    ///
    /// - Returns: the hash of its contents.
    func checkContiguous(_ number: Int) throws -> ContentHash {
        let tensor = index.tensors[number]
        let place = payload(of: number)
        let header = try contiguousHeader(of: number)
        guard place.upperBound <= file.byteCount else {
            // Before anything is allocated by the size that a cut file claims.
            throw damage(
                .badChecksum, "the file ends before it, at byte \(file.byteCount)", tensor: number, chunk: 0)
        }
        let digests = try BlockDigests(byteCount: place.count)
        let buffer = try AlignedBuffer(byteCount: min(1 << 20, place.count), isZeroed: false)
        for start in stride(from: 0, to: place.count, by: buffer.byteCount) {
            let part = UnsafeMutableRawBufferPointer(
                start: buffer.address, count: min(buffer.byteCount, place.count - start))
            try readPayload(of: number, into: part, at: place.lowerBound + start)
            digests.update(UnsafeRawBufferPointer(part), at: start)
        }
        let hash = digests.combined
        guard hash.low == header.payloadChecksum else {
            throw damage(.badChecksum, "the checksum of its payload is wrong", tensor: number, chunk: 0)
        }
        guard try !tensor.hasBlockHashes || digests.bytes.elementsEqual(storedBlockHashes(of: number)) else {
            throw damage(.badChecksum, "the hashes of its blocks are damaged", tensor: number, chunk: 0)
        }
        return hash
    }
}
