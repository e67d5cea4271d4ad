import Dispatch
import Synchronization

/// Calls `body` for every number below `count` on up to `threads` threads; the first error ends the work and is thrown.
func concurrently(count: Int, threads: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
    guard min(threads, count) > 1 else {
        for number in 0..<count { try body(number) }
        return
    }
    let next = Atomic(0)
    let failure = Mutex<(any Error)?>(nil)
    DispatchQueue.concurrentPerform(iterations: min(threads, count)) { _ in
        while true {
            let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard number < count, failure.withLock({ $0 == nil }) else { return }
            do { try body(number) } catch { failure.withLock { $0 = $0 ?? error } }
        }
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
}

/// Objects that one thread uses at a time, kept for the next one.
final class LendingPool<Item>: @unchecked Sendable {
    // Safety: an item is on the shelf or with one borrower, never both; the lock guards the shelf.
    private var shelf: [Item] = []
    private let lock = Mutex(())
    private let make: @Sendable () throws -> Item

    init(_ make: @escaping @Sendable () throws -> Item) { self.make = make }

    func take() throws -> Item { try lock.withLock { _ in shelf.popLast() } ?? make() }

    /// Lends an item that suits if there is one, else the one that was not used for longest.
    private func take(preferring suits: (Item) -> Bool) throws -> Item {
        let item = lock.withLock { _ -> Item? in
            guard !shelf.isEmpty else { return nil }
            return shelf.remove(at: shelf.firstIndex(where: suits) ?? 0)
        }
        return try item ?? make()
    }

    func giveBack(_ item: Item) { lock.withLock { _ in shelf.append(item) } }

    func with<R>(_ body: (Item) throws -> R) throws -> R {
        let item = try take()
        defer { giveBack(item) }
        return try body(item)
    }

    /// Calls `body` with an item that suits, if there is one.
    func with<R>(preferring suits: (Item) -> Bool, _ body: (Item) throws -> R) throws -> R {
        let item = try take(preferring: suits)
        defer { giveBack(item) }
        return try body(item)
    }
}
