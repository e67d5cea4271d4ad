import Synchronization

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
