import Dispatch

/// Calls `body` for every chunk number, on up to `threads` threads at once, and returns when all are done.
///
/// Workers take the next chunk as they get free, so chunk numbers decide what is computed and threads only when.
/// Results must therefore be stored by chunk number and combined in chunk order.
///
/// - Parameters:
///   - count: the number of chunks.
///   - threads: the number of workers; 1 runs on the calling thread.
public func parallelChunks(count: Int, threads: Int, _ body: @Sendable (Int) -> Void) {
    let workers = min(threads, count)
    guard workers > 1 else {
        for chunk in 0..<count { body(chunk) }
        return
    }
    let next = ChunkCounter()
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
        while true {
            let chunk = next.take()
            guard chunk < count else { return }
            body(chunk)
        }
    }
}
