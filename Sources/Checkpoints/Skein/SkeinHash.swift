internal import CXXHash
import TensorCore

/// The checksums of the format, by libxxhash: XXH3 with seed 0.
///
/// They find accidents, not forgeries. The widest vectors of the processor are used where the library has them (see the shim
/// of `CXXHash`).
enum SkeinHash {
    /// The blocks of a tree hash. Chunk sizes are multiples of it, so that threads can hash their chunks apart.
    static let blockByteCount = 64 << 10

    /// XXH3-64.
    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        untangle_XXH3_64bits(bytes.baseAddress, bytes.count)
    }

    static func checksum(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { checksum($0) } }

    /// XXH3-128 in its canonical form, the high half first and both big-endian.
    static func digest(_ bytes: UnsafeRawBufferPointer) -> ContentHash {
        let hash = untangle_XXH3_128bits(bytes.baseAddress, bytes.count)
        return ContentHash(high: hash.high64, low: hash.low64)
    }

    /// The XXH3-128 over the XXH3-128 digests of the 64 KiB blocks of the bytes.
    static func tree(_ bytes: UnsafeRawBufferPointer) -> ContentHash {
        withUnsafeTemporaryAllocation(byteCount: blockCount(byteCount: bytes.count) * 16, alignment: 16) { digests in
            storeDigests(of: bytes, to: digests)
            return digest(UnsafeRawBufferPointer(digests))
        }
    }

    static func blockCount(byteCount: Int) -> Int {
        byteCount / blockByteCount + (byteCount % blockByteCount > 0 ? 1 : 0)
    }

    /// Writes the XXH3-128 of each block, 16 bytes in canonical form.
    fileprivate static func storeDigests(
        of bytes: UnsafeRawBufferPointer, to digests: UnsafeMutableRawBufferPointer, from firstBlock: Int = 0
    ) {
        var slot = firstBlock * 16
        for start in stride(from: 0, to: bytes.count, by: blockByteCount) {
            let end = min(start + blockByteCount, bytes.count)
            let hash = untangle_XXH3_128bits(bytes.baseAddress! + start, end - start)
            digests.storeBytes(of: hash.high64.bigEndian, toByteOffset: slot, as: UInt64.self)
            digests.storeBytes(of: hash.low64.bigEndian, toByteOffset: slot + 8, as: UInt64.self)
            slot += 16
        }
    }
}

/// A 128-bit hash of the contents of a tensor, or of a whole checkpoint.
///
/// Of a tensor: the XXH3-128 over the XXH3-128 digests of its 64 KiB blocks, the same in every format.
public struct ContentHash: Hashable, Sendable, CustomStringConvertible {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// No hash: zero.
    static let none = ContentHash(high: 0, low: 0)

    /// Reads 16 bytes, the high half first and both big-endian.
    init(_ bytes: UnsafeRawBufferPointer) {
        high = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
        low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    }

    /// 16 bytes, the high half first and both big-endian.
    var bytes: [UInt8] { withUnsafeBytes(of: (high.bigEndian, low.bigEndian), Array.init) }

    /// 32 lower-case hexadecimal digits.
    public var description: String {
        [high, low].map { half in
            let digits = String(half, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}

/// The digests of the blocks of some bytes, taken in any order and by several threads.
final class BlockDigests: Sendable {
    private let byteCount: Int
    // One slot of 16 bytes for each block; every block has one writer, and `combined` comes after all of them.
    private let slots: AlignedBuffer

    /// Takes room for the hashes of all blocks.
    ///
    /// - Throws: `IOError` `io.memory` when there is no room for 16 bytes a block.
    init(byteCount: Int) throws(IOError) {
        self.byteCount = byteCount
        slots = try AlignedBuffer(byteCount: SkeinHash.blockCount(byteCount: byteCount) * 16, isZeroed: false)
    }

    /// Digests whole blocks.
    ///
    /// - Precondition: the bytes begin at the border of a block and end at one, or at the end of all.
    func update(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        precondition(offset % SkeinHash.blockByteCount == 0 && offset + bytes.count <= byteCount)
        SkeinHash.storeDigests(of: bytes, to: slots.mutableBytes, from: offset / SkeinHash.blockByteCount)
    }

    /// The digests, 16 bytes each.
    var bytes: UnsafeRawBufferPointer { slots.bytes }

    /// The hash over all digests.
    var combined: ContentHash { SkeinHash.digest(slots.bytes) }
}
