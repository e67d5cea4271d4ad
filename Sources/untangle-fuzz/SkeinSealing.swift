import CXXHash

/// Makes the checksums of a changed .skein file right again, as far as it is whole; see docs/formats/skein.md.
struct SkeinSealing {
    private var bytes: [UInt8]
    private var index: Range<Int>

    /// The same bytes where there is no telling which of them are the index.
    static func sealed(_ bytes: [UInt8]) -> [UInt8] {
        guard var sealing = SkeinSealing(bytes) else { return bytes }
        sealing.sealChunks()
        sealing.sealIndex()
        return sealing.bytes
    }

    private init?(_ bytes: [UInt8]) {
        self.bytes = bytes
        index = 64..<64
        guard bytes.count >= 128, let size = Int(exactly: word(at: 24)), size <= bytes.count - 128 else { return nil }
        index = 64..<64 + size
    }

    /// The chunks that the index seems to name: an offset, a size, and the checksum of the header.
    private mutating func sealChunks() {
        guard index.count >= 24 else { return }
        for place in index.lowerBound..<index.upperBound - 24 {
            guard let start = Int(exactly: word(at: place)), start % 64 == 0, start >= index.upperBound,
                let size = Int(exactly: word(at: place + 8)), size >= 64, size <= bytes.count - 64,
                start <= bytes.count - 64 - size
            else { continue }
            let header = 56 + 8 * Int(bytes[start + 17]) + (bytes[start + 18] == 0 ? 0 : 24)
            guard header <= size else { continue }
            // What a single plane leaves are the hashes of the blocks.
            let plane = Int(word(at: start + 48) & ((1 << 56) - 1))
            let end = header == 64 && plane <= size - 64 && size > 64 ? start + 64 + plane : start + size
            set(treeHash(start + header..<end), at: start + 40)
            set(hash(start..<start + header - 8), at: start + header - 8)
            set(word(at: start + header - 8), at: place + 16)
        }
    }

    /// The index repeated at its second place, and its checksum in both seals.
    private mutating func sealIndex() {
        if let second = Int(exactly: word(at: 32)), second >= index.upperBound, second <= bytes.count - 64 - index.count
        {
            bytes.replaceSubrange(second..<second + index.count, with: Array(bytes[index]))
        }
        // The footer says what the header does, behind its own magic.
        let footer = bytes.count - 64
        bytes.replaceSubrange(footer + 8..<bytes.count, with: Array(bytes[8..<64]))
        for seal in [0, footer] {
            set(hash(index), at: seal + 48)
            set(hash(seal..<seal + 56), at: seal + 56)
        }
    }

    private func word(at offset: Int) -> UInt64 {
        bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    }

    private mutating func set(_ value: UInt64, at offset: Int) {
        withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + 8, with: $0) }
    }

    private func hash(_ range: Range<Int>) -> UInt64 {
        bytes[range].withUnsafeBytes { XXH3_64bits($0.baseAddress, $0.count) }
    }

    /// The low half of the hash of the hashes of blocks of 64 KiB.
    private func treeHash(_ range: Range<Int>) -> UInt64 {
        var digests: [UInt8] = []
        for start in stride(from: range.lowerBound, to: range.upperBound, by: 65536) {
            var canonical = XXH128_canonical_t()
            let block = bytes[start..<min(start + 65536, range.upperBound)]
            block.withUnsafeBytes { XXH128_canonicalFromHash(&canonical, XXH3_128bits($0.baseAddress, $0.count)) }
            withUnsafeBytes(of: canonical) { digests += $0 }
        }
        return digests.withUnsafeBytes { XXH3_128bits($0.baseAddress, $0.count).low64 }
    }
}
