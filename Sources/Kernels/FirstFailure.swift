import Synchronization

/// The results of numbered pieces of work that several threads do; after a failure the rest is not begun.
package final class FirstFailure<Result: Sendable>: Sendable {
    private let state: Mutex<State>

    private struct State {
        var results: [Result?]
        var failure: (place: Int, error: any Error)?
    }

    package init(count: Int) { state = Mutex(State(results: Array(repeating: nil, count: count))) }

    package func run(_ place: Int, _ work: () throws -> Result) {
        guard state.withLock({ $0.failure == nil }) else { return }
        do {
            let result = try work()
            state.withLock { $0.results[place] = result }
        } catch {
            state.withLock { state in
                if place < state.failure?.place ?? Int.max { state.failure = (place, error) }
            }
        }
    }

    /// The results in order.
    ///
    /// - Throws: of the failures that occurred, the one of the lowest number.
    package func results() throws -> [Result] {
        try state.withLock { state in
            if let failure = state.failure { throw failure.error }
            return state.results.compactMap { $0 }
        }
    }
}
