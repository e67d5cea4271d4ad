import SystemPackage

/// One of the parts that a merge into a folder is cut into: `3/8` writes the third eighth of the shards.
public struct MergePart: Sendable, Hashable, CustomStringConvertible {
    /// Counted from 1.
    public let number: Int
    public let count: Int

    /// More parts than this are a slip of the pen.
    private static let limit = 99_999

    /// Reads `I/N`; nil when it is no part of anything.
    public init?(_ text: String) {
        let numbers = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        guard numbers.count == 2, let number = numbers[0], let count = numbers[1] else { return nil }
        self.init(number: number, count: count)
    }

    package init?(number: Int, count: Int) {
        guard (1...Self.limit).contains(count), (1...count).contains(number) else { return nil }
        self.number = number
        self.count = count
    }

    /// The first part of the same merge.
    package var first: MergePart { MergePart(number: 1, count: count) ?? self }

    /// All parts of the merge.
    package var all: [MergePart] { (1...count).compactMap { MergePart(number: $0, count: count) } }

    /// Its share of the shards, which follow one another; every part has some when there are enough.
    package func shards(of total: Int) -> Range<Int> { (number - 1) * total / count..<number * total / count }

    public var description: String { "\(number)/\(count)" }

    /// The name of what a finished part tells of itself.
    package var recordName: String { "part-\(number)-of-\(count).json" }

    /// Reads the name of a record.
    package init?(recordName name: String) {
        let words = name.split(separator: "-", omittingEmptySubsequences: false)
        guard words.count == 4, words[0] == "part", words[2] == "of", words[3].hasSuffix(".json"),
            let number = Int(words[1]), let count = Int(words[3].dropLast(5))
        else { return nil }
        self.init(number: number, count: count)
        guard recordName == name else { return nil }
    }
}
