// XXH3-128 of bytes whose parts are at hand in any order.
//
// Stripes of 64 bytes add to eight sums, which are scrambled at the end of every block of 1024 bytes (Collet, xxHash, specification of
// XXH3). What the stripes of a block add does not depend on the blocks before, so it is summed up wherever the bytes are in a cache;
// scrambling in order costs a third of that.

import CKernels
import TensorCore

private let blockByteCount = 1024

/// The XXH3-128 of bytes of which parts are summed up in any order.
struct BlockwiseHash {
    /// What is no longer than this is hashed in another way.
    private static let shortByteCount = 240

    private var state = SIMD8<UInt64>(
        0xC2B2_AE3D, 0x9E37_79B1_85EB_CA87, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x85EB_CA77_C2B2_AE63,
        0x85EB_CA77, 0x27D4_EB2F_1656_67C5, 0x9E37_79B1)
    /// The blocks that are in the state.
    private var blockCount = 0

    /// The sums of the blocks that begin in a part of the bytes.
    struct Sums {
        fileprivate let count: Int
        fileprivate let values: [UInt64]
        /// The place of the first block; nil without a block.
        let start: Int?

        /// Sums blocks up.
        ///
        /// - Parameters:
        ///   - part: where the blocks begin, in `bytes`. One that begins there and ends behind `bytes` is left out.
        ///   - place: where `bytes` begin.
        ///   - byteCount: the size of all bytes, whose last block is left to the end.
        init(of part: Range<Int>, in bytes: UnsafeRawBufferPointer, at place: Int, of byteCount: Int) {
            func firstBlock(from place: Int) -> Int { (place + blockByteCount - 1) / blockByteCount }
            let first = firstBlock(from: place + part.lowerBound)
            let end = min(
                firstBlock(from: place + part.upperBound), (place + bytes.count) / blockByteCount,
                (byteCount - 1) / blockByteCount)
            let count = max(0, end - first)
            self.count = count
            start = count > 0 ? first * blockByteCount : nil
            values = [UInt64](unsafeUninitializedCapacity: 8 * count) { values, filledCount in
                if count > 0 {
                    untangle_xxh3_sum_blocks(
                        bytes.baseAddress! + (first * blockByteCount - place), count, values.baseAddress)
                }
                filledCount = 8 * count
            }
        }
    }

    /// Goes on with blocks that follow the last one.
    mutating func append(_ sums: Sums) {
        untangle_xxh3_fold(sums.values, sums.count, &state)
        blockCount += sums.count
    }

    /// Goes on with all whole blocks before a place.
    ///
    /// - Parameter bytes: all of them.
    mutating func append(_ bytes: UnsafeRawBufferPointer, to end: Int) {
        let last = min(end, bytes.count - 1) / blockByteCount
        while blockCount < last {
            let part = blockCount * blockByteCount..<min(last, blockCount + 64) * blockByteCount
            append(Sums(of: part, in: bytes, at: 0, of: bytes.count))
        }
    }

    /// The hash of all bytes, when all whole blocks but the last were appended.
    func finish(_ bytes: UnsafeRawBufferPointer) -> ContentHash {
        guard bytes.count > Self.shortByteCount else {
            let hash = ContentHash.Accumulator()
            hash.update(bytes)
            return hash.finish()
        }
        var (state, halves) = (state, SIMD2<UInt64>())
        untangle_xxh3_finish(&state, bytes.baseAddress! + bytes.count, bytes.count, &halves)
        return ContentHash(high: halves[1], low: halves[0])
    }
}
