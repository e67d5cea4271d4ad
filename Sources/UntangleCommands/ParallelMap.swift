import Kernels
import Synchronization

/// Calls `body` for 0 ..< `count` on up to `threads` threads and returns the results in order.
///
/// - Throws: the error of the smallest number that failed among those tried; after an error no new number is begun.
func parallelMap<Value: Sendable>(
    count: Int, threads: Int, _ body: @Sendable (Int) throws -> Value
) throws -> [Value] {
    let state = Mutex((values: [Value?](repeating: nil, count: count), failure: (number: Int, error: any Error)?.none))
    parallelChunks(count: count, threads: threads) { number in
        guard state.withLock({ $0.failure == nil }) else { return }
        do {
            let value = try body(number)
            state.withLock { $0.values[number] = value }
        } catch {
            state.withLock { state in
                if number < state.failure?.number ?? .max { state.failure = (number, error) }
            }
        }
    }
    return try state.withLock { state in
        if let failure = state.failure { throw failure.error }
        return state.values.compactMap { $0 }
    }
}
