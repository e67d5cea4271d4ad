import Glibc
import TensorCore

// A packed chunk stores some of its words, and a map that says what the others are. Its header has 24 bytes more, between the entries of
// the planes and its checksum:
//
//     8  codec and byte count of the map in the payload, as for a plane
//     8  number of the words that are stored
//     4  byte count of the map
//     4  byte count of a row; 0 where zeros are left out
//
// The planes are those of the stored words alone; the map follows them. There are two kinds of map:
//
//     1 zeros    one bit for each word, the lowest of a byte first: 1 where the word is stored, 0 where it is zero
//     2 repeats  4 bytes for each row, or part of one, of the tensor that lies in the chunk: 0 where it is stored, else how many rows
//                before it the same bytes lie, in the same columns: inside of the chunk, or in the first 16 MiB of the tensor
//
// Nothing of it depends on a base.

/// What the header of a packed chunk says of its map.
struct SkeinPacking: Equatable {
    enum Kind: UInt8 {
        case zeros = 1
        case repeats = 2
    }

    let kind: Kind
    var map: SkeinChunkHeader.Plane
    /// The words that are stored.
    let keptCount: Int
    let mapByteCount: Int
    let rowByteCount: Int

    /// What it adds to a header.
    static let byteCount = 24
    /// The part of a tensor that all of its chunks may repeat.
    static let windowByteCount = 16 << 20
    /// No row is shorter, so that the map is far smaller than the chunk.
    static let leastRowByteCount = 64

    /// What a map of the words of a chunk takes.
    static func zeroMapByteCount(words: Int) -> Int { (words + 7) / 8 }
}

// MARK: - Zeros

/// Leaves zeros out and puts them back.
enum SkeinZeros {
    /// Copies the words that are not zero and notes where they were.
    ///
    /// - Parameters:
    ///   - source: words of 1, 2, 4 or 8 bytes at any address.
    ///   - kept: has room for all words.
    ///   - map: has room for a bit for each.
    /// - Returns: how many words were copied.
    static func pack(
        _ source: UnsafeRawPointer, count: Int, width: Int, into kept: UnsafeMutableRawPointer,
        map: UnsafeMutablePointer<UInt8>
    ) -> Int {
        switch width {
        case 1: pack(source, count, UInt8.self, kept, map)
        case 2: pack(source, count, UInt16.self, kept, map)
        case 4: pack(source, count, UInt32.self, kept, map)
        default: pack(source, count, UInt64.self, kept, map)
        }
    }

    private static func pack<Word: FixedWidthInteger>(
        _ source: UnsafeRawPointer, _ count: Int, _: Word.Type, _ kept: UnsafeMutableRawPointer,
        _ map: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let target = kept.assumingMemoryBound(to: Word.self)
        var next = 0
        for start in stride(from: 0, to: count, by: 8) {
            var bits: UInt8 = 0
            for i in start..<min(start + 8, count) {
                let word = source.loadUnaligned(fromByteOffset: i &* MemoryLayout<Word>.size, as: Word.self)
                let isKept = word != 0
                // The next word writes over one that is not kept. There is always room: at most as many are kept as were seen.
                target[next] = word
                next &+= isKept ? 1 : 0
                bits |= (isKept ? 1 : 0) &<< UInt8(truncatingIfNeeded: i &- start)
            }
            map[start / 8] = bits
        }
        return next
    }

    /// Whether a map keeps so many of so many words, and has no bits behind them.
    static func isMap(_ map: UnsafeRawBufferPointer, of count: Int, keeping keptCount: Int) -> Bool {
        let bits = map.reduce(0) { $0 + $1.nonzeroBitCount }
        return bits == keptCount && (count % 8 == 0 || map[count / 8] >> UInt8(count % 8) == 0)
    }

    /// Puts zeros between the words.
    ///
    /// - Precondition: `isMap` was true, and fewer words are kept than there are, so that one more can be read.
    static func unpack(
        _ kept: UnsafeRawPointer, map: UnsafePointer<UInt8>, count: Int, width: Int,
        into target: UnsafeMutableRawPointer
    ) {
        switch width {
        case 1: unpack(kept, map, count, UInt8.self, target)
        case 2: unpack(kept, map, count, UInt16.self, target)
        case 4: unpack(kept, map, count, UInt32.self, target)
        default: unpack(kept, map, count, UInt64.self, target)
        }
    }

    private static func unpack<Word: FixedWidthInteger>(
        _ kept: UnsafeRawPointer, _ map: UnsafePointer<UInt8>, _ count: Int, _: Word.Type,
        _ target: UnsafeMutableRawPointer
    ) {
        let source = kept.assumingMemoryBound(to: Word.self)
        let words = target.assumingMemoryBound(to: Word.self)
        var next = 0
        for i in 0..<count {
            let bit = map[i &>> 3] &>> UInt8(truncatingIfNeeded: i & 7) & 1
            words[i] = source[next] & (0 &- Word(truncatingIfNeeded: bit))
            next &+= Int(bit)
        }
    }
}

// MARK: - Repeats

/// The rows of a tensor, or parts of rows, that lie in a chunk.
struct SkeinRows {
    let rowByteCount: Int
    /// The bytes of the tensor in the chunk.
    let range: Range<Int>

    private var first: Int { range.lowerBound / rowByteCount }

    var count: Int { range.isEmpty ? 0 : (range.upperBound - 1) / rowByteCount - first + 1 }

    /// The number of a row in its tensor.
    func row(_ number: Int) -> Int { first + number }

    /// The bytes of the tensor that a row has in the chunk.
    func bytes(_ number: Int) -> Range<Int> {
        let start = row(number) * rowByteCount
        return (start..<start + rowByteCount).clamped(to: range)
    }

    /// Where the bytes lie that a row repeats; nil when a chunk may not refer to them.
    ///
    /// - Parameter windowByteCount: how much of the start of the tensor lies before the chunk and may be repeated.
    func source(of number: Int, distance: Int, windowByteCount: Int) -> Range<Int>? {
        guard distance > 0, distance <= row(number) else { return nil }
        let source = bytes(number).shifted(by: -distance * rowByteCount)
        guard source.upperBound <= windowByteCount || source.lowerBound >= range.lowerBound else { return nil }
        return source
    }

    /// Puts rows that were left out back.
    ///
    /// - Parameters:
    ///   - kept: the rows that are stored, one behind the other.
    ///   - map: 4 bytes for each row.
    ///   - window: the start of the tensor.
    ///   - target: receives the chunk.
    /// - Returns: false when the map refers to what it may not, or the stored rows do not fit it.
    func unpack(
        _ kept: UnsafeRawBufferPointer, map: UnsafeRawBufferPointer, window: UnsafeRawBufferPointer,
        into target: UnsafeMutableRawPointer
    ) -> Bool {
        var position = 0
        for number in 0..<count {
            let bytes = bytes(number)
            let place = target + (bytes.lowerBound - range.lowerBound)
            let distance = Int(map.littleEndian(UInt32.self, at: 4 * number))
            if distance == 0 {
                guard bytes.count <= kept.count - position else { return false }
                place.copyMemory(from: kept.baseAddress! + position, byteCount: bytes.count)
                position += bytes.count
            } else {
                guard let source = source(of: number, distance: distance, windowByteCount: window.count) else {
                    return false
                }
                let origin =
                    source.upperBound <= window.count
                    ? window.baseAddress! + source.lowerBound
                    : UnsafeRawPointer(target) + (source.lowerBound - range.lowerBound)
                place.copyMemory(from: origin, byteCount: bytes.count)
            }
        }
        return position == kept.count
    }
}
