import Dispatch
import Synchronization

/// A piece of work that waits, such as for a disk, on a thread of its own while the caller computes.
final class BackgroundWork<Value: Sendable>: Sendable {
    private let outcome = Mutex<Result<Value, any Error>?>(nil)
    private let group = DispatchGroup()

    /// Begins the work. Whoever does waits for its end: it may use what the caller is about to remove.
    init(_ work: @escaping @Sendable () throws -> Value) {
        DispatchQueue.global().async(group: group) { [self] in
            let result = Result { try work() }
            outcome.withLock { $0 = result }
        }
    }

    /// The result, once there is one.
    func value() throws -> Value {
        group.wait()
        guard let result = outcome.withLock({ $0 }) else { preconditionFailure("the work has ended without a result") }
        return try result.get()
    }
}
