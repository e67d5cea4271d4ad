import TensorCore

/// One tensor, read range by range in the way that its format allows at the least cost.
///
/// A mapped tensor is used where it lies, and one that only decodes whole is decoded once. Of any other, a window is decoded
/// at a time: ranges that follow each other share it, and it always ends where the format's pieces end, so that no piece is
/// decoded twice on the way through. Used by one thread at a time.
package final class TensorWindow {
    private let reader: any CheckpointReader
    private let index: Int
    private let bounds: Range<Int>
    private let source: Source
    private let pool: BufferPool

    private enum Source {
        case whole(TensorBytes)
        /// Bytes of the buffer, which is not counted as in use every time that they are read.
        case window(start: UnsafeMutableRawPointer, step: Int)
    }

    private let buffer: AlignedBuffer?
    /// The part of the tensor that the window holds.
    private var window = 0..<0

    /// Opens a window on a tensor.
    ///
    /// - Parameters:
    ///   - bounds: the bytes of the tensor that will be asked for.
    ///   - pool: lends the window; its buffers hold at least `reader.decodedTogetherByteCount(of: index)` bytes.
    /// - Throws: what `bytes(of:)` throws.
    package init(
        _ reader: any CheckpointReader, _ index: Int, in bounds: Range<Int>, pool: BufferPool
    ) throws {
        self.reader = reader
        self.index = index
        self.bounds = bounds
        self.pool = pool
        if reader.isMapped(index) || !reader.canReadRanges(of: index) {
            source = .whole(try reader.bytes(of: index))
            buffer = nil
        } else {
            let together = max(1, reader.decodedTogetherByteCount(of: index))
            precondition(pool.byteCount >= together, "the window is smaller than what is decoded at a time")
            let buffer = try pool.take()
            source = .window(start: buffer.address, step: pool.byteCount / together * together)
            self.buffer = buffer
        }
    }

    deinit {
        if let buffer { pool.giveBack(buffer) }
    }

    /// Calls `body` with a range of the tensor's bytes.
    ///
    /// - Precondition: the range lies in the bounds.
    /// - Throws: `FormatError` when stored data is damaged, and what `body` throws.
    package func withBytes<R>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        switch source {
        case .whole(let bytes):
            return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        case .window(let start, let step):
            if range.lowerBound < window.lowerBound || range.upperBound > window.upperBound {
                try move(to: range, step: step)
            }
            // Safety: the buffer is valid while the window lives.
            return try withExtendedLifetime(self) {
                try body(
                    UnsafeRawBufferPointer(start: start + (range.lowerBound - window.lowerBound), count: range.count))
            }
        }
    }

    private func move(to range: Range<Int>, step: Int) throws {
        guard let buffer else { return }
        window = 0..<0
        // The end of a piece, if the range ends before it.
        let end = min(bounds.upperBound, max(range.upperBound, range.lowerBound / step * step + step))
        let target = range.lowerBound..<min(end, range.lowerBound + buffer.byteCount)
        precondition(target.upperBound >= range.upperBound, "a range is larger than the window")
        try reader.read(
            target, of: index, into: UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[..<target.count]))
        window = target
    }
}

/// Buffers of one size, lent to one user at a time and kept for the next.
package final class BufferPool: Sendable {
    package let byteCount: Int
    private let buffers: LendingPool<AlignedBuffer>

    /// Lends buffers of one size.
    ///
    /// - Parameter byteCount: taken for at least one byte, so that an empty tensor has a window, too.
    package init(byteCount: Int) {
        let byteCount = max(1, byteCount)
        self.byteCount = byteCount
        buffers = LendingPool { try AlignedBuffer(byteCount: byteCount, isZeroed: false) }
    }

    /// A buffer that nobody uses, or a new one.
    ///
    /// - Throws: `IOError` `io.memory` when the system has no room for another buffer.
    package func take() throws -> AlignedBuffer { try buffers.take() }

    package func giveBack(_ buffer: AlignedBuffer) { buffers.giveBack(buffer) }

    package func withBuffer<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) throws -> R {
        try buffers.with { try body($0.mutableBytes) }
    }
}
