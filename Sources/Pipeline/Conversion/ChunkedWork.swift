import Kernels
import Synchronization
import TensorCore

/// Calls `body` for every chunk number on several threads; the first error ends the work and is thrown.
///
/// - Throws: the error of the lowest chunk number that failed; chunks that nobody had begun are skipped.
func forEachChunk(count: Int, threads: Int, _ body: @Sendable (Int) throws -> Void) throws {
    let failure = Mutex<(chunk: Int, error: any Error)?>(nil)
    let failed = Atomic(false)
    parallelChunks(count: count, threads: threads) { chunk in
        guard !failed.load(ordering: .relaxed) else { return }
        do { try body(chunk) } catch {
            failed.store(true, ordering: .relaxed)
            failure.withLock { first in
                if first.map({ chunk < $0.chunk }) ?? true { first = (chunk, error) }
            }
        }
    }
    if let failure = failure.withLock({ $0 }) { throw failure.error }
}

/// Buffers of one size, lent to one user at a time and kept for the next.
final class ScratchPool: Sendable {
    private let byteCount: Int
    private let free = Mutex<[AlignedBuffer]>([])

    init(byteCount: Int) { self.byteCount = byteCount }

    /// - Throws: `IOError` `io.memory` when the system has no room for another buffer, and what `body` throws.
    func withBuffer<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) throws -> R {
        let buffer = try free.withLock { $0.popLast() } ?? AlignedBuffer(byteCount: byteCount)
        defer { free.withLock { $0.append(buffer) } }
        return try body(buffer.mutableBytes)
    }
}
