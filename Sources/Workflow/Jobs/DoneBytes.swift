import Synchronization

/// Turns reports of how much is done in all into how much was done since the last report.
final class DoneBytes: Sendable {
    private let total = Mutex(0)

    func advance(to done: Int) -> Int {
        total.withLock { total in
            defer { total = done }
            return done - total
        }
    }
}
