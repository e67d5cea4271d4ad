import Glibc
import Synchronization
import TensorCore

/// Cuts what is written to tensors, in pieces of any size and order, into units of a fixed size.
///
/// Whole units inside a piece are handed on where they lie. Only units that straddle pieces are copied together: each holds
/// one buffer until its last byte comes, so callers that write their pieces in any sensible order never hold more than one or
/// two units for each of their threads.
final class PieceAssembler: Sendable {
    private let byteCounts: [Int]
    private let unitByteCounts: [Int]
    private let state = Mutex(State())

    private struct Unit: Hashable {
        let tensor: Int
        let number: Int
    }

    private struct Partial {
        let buffer: AlignedBuffer
        var writtenByteCount = 0
    }

    private struct State {
        var partials: [Unit: Partial] = [:]
        var takenByteCount = 0
    }

    /// Expects tensors of known sizes, in pieces.
    ///
    /// - Parameters:
    ///   - byteCounts: the size of each tensor.
    ///   - unitByteCounts: the size of the units of each tensor; the last unit has the rest.
    init(byteCounts: [Int], unitByteCounts: [Int]) {
        self.byteCounts = byteCounts
        self.unitByteCounts = unitByteCounts
    }

    /// The bytes taken so far, complete units or not.
    var takenByteCount: Int { state.withLock { $0.takenByteCount } }

    /// Takes a piece and calls `body` with the runs of complete units that it brings.
    ///
    /// - Parameter body: receives bytes that begin at the border of a unit, and where in the tensor they belong.
    func take(
        _ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int,
        _ body: (UnsafeRawBufferPointer, Int) throws -> Void
    ) throws {
        let unit = unitByteCounts[tensor]
        let total = byteCounts[tensor]
        state.withLock { $0.takenByteCount += bytes.count }
        var position = offset
        let end = offset + bytes.count
        while position < end {
            let start = position / unit * unit
            let unitEnd = min(total - start, unit) + start
            if position == start, end >= unitEnd {
                // The run of whole units from here.
                let runEnd = end == total ? end : end / unit * unit
                try body(UnsafeRawBufferPointer(rebasing: bytes[position - offset..<runEnd - offset]), position)
                position = runEnd
            } else {
                let partEnd = min(end, unitEnd)
                let part = UnsafeRawBufferPointer(rebasing: bytes[position - offset..<partEnd - offset])
                if let whole = try complete(
                    Unit(tensor: tensor, number: start / unit), with: part, at: position - start,
                    of: unitEnd - start)
                {
                    try body(whole.bytes, start)
                }
                position = partEnd
            }
        }
    }

    /// Adds a part to a unit.
    ///
    /// - Returns: the unit when the part was the last.
    private func complete(
        _ unit: Unit, with part: UnsafeRawBufferPointer, at offset: Int, of byteCount: Int
    ) throws -> AlignedBuffer? {
        let buffer = try state.withLock { state in
            if let partial = state.partials[unit] { return partial.buffer }
            let buffer = try AlignedBuffer(byteCount: byteCount, isZeroed: false)
            state.partials[unit] = Partial(buffer: buffer)
            return buffer
        }
        // Parts of one unit are disjoint, so they are copied outside of the lock.
        (buffer.address + offset).copyMemory(from: part.baseAddress!, byteCount: part.count)
        return state.withLock { state in
            state.partials[unit]?.writtenByteCount += part.count
            guard state.partials[unit]?.writtenByteCount == byteCount else { return nil }
            state.partials[unit] = nil
            return buffer
        }
    }
}
