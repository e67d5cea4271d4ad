import CXXHash

/// Changes a .skein file and makes its checksums right again, so that a test reaches what lies behind them.
struct SkeinForgery {
    var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func word(at offset: Int) -> UInt64 {
        bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
    }

    mutating func set(_ value: UInt64, at offset: Int) {
        withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + 8, with: $0) }
    }

    func hash(_ range: Range<Int>) -> UInt64 {
        bytes.withUnsafeBytes { XXH3_64bits($0.baseAddress! + range.lowerBound, range.count) }
    }

    /// The low half of the tree hash.
    func treeHash(_ range: Range<Int>) -> UInt64 {
        var digests: [UInt8] = []
        bytes.withUnsafeBytes { bytes in
            for start in stride(from: range.lowerBound, to: range.upperBound, by: 65536) {
                var canonical = XXH128_canonical_t()
                XXH128_canonicalFromHash(
                    &canonical, XXH3_128bits(bytes.baseAddress! + start, min(65536, range.upperBound - start)))
                withUnsafeBytes(of: canonical) { digests += $0 }
            }
        }
        return digests.withUnsafeBytes { XXH3_128bits($0.baseAddress, $0.count).low64 }
    }

    /// Where the first chunk begins.
    static func chunkStart(_ bytes: [UInt8]) -> Int { (64 + SkeinForgery(bytes).index.count + 63) / 64 * 64 }

    var index: Range<Int> { 64..<64 + Int(truncatingIfNeeded: min(word(at: 24), UInt64(bytes.count - 64))) }

    /// Gives a seal at an offset its checksum.
    mutating func reseal(at offset: Int) { set(hash(offset..<offset + 56), at: offset + 56) }

    /// Copies the first index over the second and puts its checksum into both seals.
    mutating func resealIndex() {
        let second = Int(word(at: 32))
        bytes.replaceSubrange(second..<second + index.count, with: bytes[index])
        let sum = hash(index)
        for seal in [0, bytes.count - 64] {
            set(sum, at: seal + 48)
            reseal(at: seal)
        }
    }

    /// Makes the checksums of a chunk right, and the index repeat them.
    mutating func resealChunk(_ range: Range<Int>) {
        let header = 56 + 8 * Int(bytes[range.lowerBound + 17]) + (bytes[range.lowerBound + 18] == 0 ? 0 : 24)
        guard header <= range.count else { return }
        // What a single plane leaves are the hashes of the blocks.
        var end = range.upperBound
        if header == 64, range.count > 64 {
            let plane = Int(word(at: range.lowerBound + 48) & ((1 << 56) - 1))
            if plane <= range.count - 64 { end = range.lowerBound + 64 + plane }
        }
        set(treeHash(range.lowerBound + header..<end), at: range.lowerBound + 40)
        set(hash(range.lowerBound..<range.lowerBound + header - 8), at: range.lowerBound + header - 8)
        // The entry of the chunk: its offset, its size, its checksum.
        let entry = withUnsafeBytes(of: (UInt64(range.lowerBound), UInt64(range.count)), Array.init)
        if let place = index.first(where: { bytes[$0...].starts(with: entry) }) {
            set(word(at: range.lowerBound + header - 8), at: place + 16)
        }
        resealIndex()
    }
}
