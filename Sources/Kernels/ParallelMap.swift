import Synchronization

/// Calls `body` for 0 ..< `count` on up to `threads` threads and returns the results in order.
///
/// Every target above this one takes it for work that may fail on several threads, and `parallelChunks` for what cannot fail.
///
/// - Throws: of the errors that occurred, that of the smallest number; after an error no new number is begun.
@discardableResult
package func parallelMap<Result: Sendable>(
    count: Int, threads: Int, _ body: @Sendable (Int) throws -> Result
) throws -> [Result] {
    let state = Mutex(
        (results: [Result?](repeating: nil, count: count), failure: (number: Int, error: any Error)?.none))
    let failed = Atomic(false)
    parallelChunks(count: count, threads: threads) { number in
        guard !failed.load(ordering: .relaxed) else { return }
        do {
            let result = try body(number)
            state.withLock { $0.results[number] = result }
        } catch {
            failed.store(true, ordering: .relaxed)
            state.withLock { state in
                if number < state.failure?.number ?? .max { state.failure = (number, error) }
            }
        }
    }
    return try state.withLock { state in
        if let failure = state.failure { throw failure.error }
        return state.results.compactMap { $0 }
    }
}
