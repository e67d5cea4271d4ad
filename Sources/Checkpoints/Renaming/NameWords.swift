/// The words in parts of a name: `q_proj` has `q` and `proj`, `fc1` has `fc` and `1`.
struct NameWords {
    private let words: [Substring]

    init(_ parts: some Sequence<Substring>) {
        words = parts.flatMap { part in
            part.split { !$0.isLetter && !$0.isNumber }.flatMap { Self.lettersAndDigits(in: $0) }
        }
    }

    /// How much the words have to do with others: 2 for each that is among them, 1 for each that is the beginning of one or begins with one,
    /// as `q` does `query`.
    func relation(to other: NameWords) -> Int {
        words.reduce(0) { sum, word in
            if other.words.contains(word) { return sum + 2 }
            return sum + (other.words.contains { $0.hasPrefix(word) || word.hasPrefix($0) } ? 1 : 0)
        }
    }

    private static func lettersAndDigits(in word: Substring) -> [Substring] {
        var (result, rest) = ([Substring](), word)
        while let first = rest.first {
            let run = rest.prefix { $0.isNumber == first.isNumber }
            result.append(run)
            rest = rest.dropFirst(run.count)
        }
        return result
    }
}
