import Synchronization

/// Hands out the numbers 0, 1, 2, … to several threads, each once.
final class ChunkCounter: Sendable {
    private let value = Atomic<Int>(0)

    func take() -> Int { value.wrappingAdd(1, ordering: .relaxed).oldValue }
}
