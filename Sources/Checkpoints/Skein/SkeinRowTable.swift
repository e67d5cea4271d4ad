/// Where rows of a tensor were seen first, by the hashes of their heads: of fixed size, so that rows may be forgotten.
struct SkeinRowTable {
    private struct Slot {
        var head: UInt64 = 0
        /// The tensor, so that the next one need not clear the table.
        var entry: Int = -1
        var row: Int = 0
    }

    /// Twice the rows of 256 bytes that the window holds.
    private static let slotCount = 1 << 17
    private static let probeCount = 8

    private var slots: [Slot] = []

    /// How many rows before each row of a chunk one lies that seems to be the same; 0 where none is known.
    ///
    /// - Parameters:
    ///   - heads: the hashes of the rows, 0 for those that have none.
    ///   - windowByteCount: how much of the start of the tensor may be repeated.
    mutating func distances(
        of heads: [UInt64], in rows: SkeinRows, windowByteCount: Int, entry: Int
    ) -> [UInt32] {
        if slots.isEmpty { slots = Array(repeating: Slot(), count: Self.slotCount) }
        return slots.withUnsafeMutableBufferPointer { slots in
            heads.indices.map { number in
                guard heads[number] != 0 else { return 0 }
                let row = rows.row(number)
                let earlier = Self.find(
                    heads[number], row: row, in: slots, rows, windowByteCount: windowByteCount, entry: entry)
                return earlier.flatMap { UInt32(exactly: row - $0) } ?? 0
            }
        }
    }

    /// The earlier row of a head; without one, the row is noted.
    private static func find(
        _ head: UInt64, row: Int, in slots: UnsafeMutableBufferPointer<Slot>, _ rows: SkeinRows, windowByteCount: Int,
        entry: Int
    ) -> Int? {
        func isOfUse(_ row: Int) -> Bool {
            let start = row * rows.rowByteCount
            return start < SkeinPacking.windowByteCount || start >= rows.range.lowerBound
        }
        var free: Int?
        for step in 0..<probeCount {
            let place = (Int(truncatingIfNeeded: head) &+ step) & (slotCount - 1)
            let slot = slots[place]
            let isKnown = slot.entry == entry && isOfUse(slot.row)
            if isKnown, slot.head == head {
                let end = (slot.row + 1) * rows.rowByteCount
                // The row may end in this chunk.
                return end <= windowByteCount || slot.row * rows.rowByteCount >= rows.range.lowerBound ? slot.row : nil
            }
            if !isKnown, free == nil { free = place }
        }
        if let free { slots[free] = Slot(head: head, entry: entry, row: row) }
        return nil
    }
}
