/// The pieces of one tensor that were written, with their CRC-32: neighbours are joined as they arrive, in any order.
struct ChecksummedPieces {
    private struct Piece {
        var range: Range<Int>
        var sum: UInt32
    }

    /// Disjoint, in ascending order, no two of them touching.
    private var pieces: [Piece] = []

    /// Adds a piece.
    ///
    /// - Returns: false when some of its bytes were added before.
    mutating func insert(_ range: Range<Int>, sum: UInt32) -> Bool {
        if range.isEmpty { return true }
        // Pieces mostly arrive nearly in order: search from the end.
        var place = pieces.count
        while place > 0, pieces[place - 1].range.lowerBound >= range.upperBound { place -= 1 }
        if place > 0, pieces[place - 1].range.upperBound > range.lowerBound { return false }
        pieces.insert(Piece(range: range, sum: sum), at: place)
        join(at: place)
        if place > 0 { join(at: place - 1) }
        return true
    }

    /// Joins a piece with the next one if they touch.
    private mutating func join(at index: Int) {
        guard index + 1 < pieces.count, pieces[index].range.upperBound == pieces[index + 1].range.lowerBound else {
            return
        }
        let next = pieces.remove(at: index + 1)
        pieces[index].sum = CRC32.combine(pieces[index].sum, next.sum, count: next.range.count)
        pieces[index].range = pieces[index].range.lowerBound..<next.range.upperBound
    }

    /// The sum over bytes 0 to `byteCount`; nil when some are missing.
    func sum(ofAll byteCount: Int) -> UInt32? {
        if byteCount == 0 { return 0 }
        guard pieces.count == 1, pieces[0].range == 0..<byteCount else { return nil }
        return pieces[0].sum
    }
}
