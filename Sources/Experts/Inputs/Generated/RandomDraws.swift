import Kernels

/// Random numbers one after the other, of a stream of their own.
struct RandomDraws {
    private let generator: CounterGenerator
    private var counter: UInt64 = 0

    /// Begins the numbers of one of many things that are made from a seed, in any order.
    init(seed: UInt64, item: Int) {
        generator = CounterGenerator(seed: seed, stream: 0x6974_656D_0000_0000 ^ UInt64(item))
    }

    private mutating func next() -> UInt64 {
        defer { counter += 1 }
        return counter
    }

    /// A uniform number between two.
    mutating func number(_ low: Double, _ high: Double) -> Double { low + (high - low) * generator.uniform(next()) }

    /// A uniform whole number of a range.
    mutating func whole(_ range: ClosedRange<Int>) -> Int { range.lowerBound + generator.below(range.count, next()) }

    /// Whether something happens that has a probability.
    mutating func chance(_ probability: Double) -> Bool { generator.uniform(next()) < probability }

    /// A standard normal number.
    mutating func normal() -> Double { generator.normalPair(next()).0 }

    /// One of several, all equally likely.
    ///
    /// - Precondition: there are some.
    mutating func one<Element>(of elements: [Element]) -> Element { elements[whole(0...elements.count - 1)] }
}
