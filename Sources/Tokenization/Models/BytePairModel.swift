/// Words built up from characters by merging pairs (BPE).
struct BytePairModel: PieceModel {
    let vocabulary: PieceVocabulary
    private let merges: MergeTable
    private let unknown: String?
    private let unknownID: Int32?
    private let fusesUnknown: Bool
    private let fallsBackToBytes: Bool
    private let byteIDs: [Int32]
    private let ignoresMerges: Bool
    /// Before every character of a word but the first.
    private let prefix: [UInt8]
    /// Behind the last character of a word.
    private let suffix: [UInt8]

    /// A piece of a word that is being built, in a list; its length is 0 once it was merged into the one before.
    struct Symbol {
        var id: Int32
        var previous: Int32
        var next: Int32
        var length: Int32
    }

    /// Reads vocabulary, merges and options.
    init(_ component: Component) throws(TokenizerError) {
        if let dropout = component["dropout"], dropout.value.double != 0 {
            throw dropout.error(.unsupported, "is set, and pieces would be left to chance")
        }
        vocabulary = try PieceVocabulary(try component.required("vocab"))
        unknown = try component["unk_token"]?.string()
        unknownID = unknown.flatMap { [vocabulary] in vocabulary.id(of: $0.utf8) }
        fusesUnknown = try component["fuse_unk"]?.flag() ?? false
        fallsBackToBytes = try component["byte_fallback"]?.flag() ?? false
        byteIDs = vocabulary.byteIDs
        ignoresMerges = try component["ignore_merges"]?.flag() ?? false
        prefix = try component["continuing_subword_prefix"]?.bytes() ?? []
        suffix = try component["end_of_word_suffix"]?.bytes() ?? []
        merges = try Self.merges(try component.required("merges"), in: vocabulary, prefix: prefix)
    }

    /// Reads merges, each a pair or a text with one space.
    private static func merges(
        _ component: Component, in vocabulary: PieceVocabulary, prefix: [UInt8]
    ) throws(TokenizerError) -> MergeTable {
        let entries = try component.elements()
        var table = MergeTable(count: entries.count)
        for entry in entries {
            let pair: [[UInt8]]
            if let text = entry.value.string {
                if text.utf8.starts(with: "#version".utf8) { continue }
                pair = text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false).map(Array.init)
            } else {
                var parts: [[UInt8]] = []
                for part in try entry.elements() { parts.append(try part.bytes()) }
                pair = parts
            }
            guard pair.count == 2 else { throw entry.error(.badFile, "is not a pair of pieces") }
            func id(_ piece: [UInt8]) throws(TokenizerError) -> Int32 {
                guard let id = vocabulary.id(of: piece) else {
                    let name = String(decoding: piece, as: UTF8.self).debugDescription
                    throw entry.error(.badFile, "needs the piece \(name), which the vocabulary lacks")
                }
                return id
            }
            guard pair[1].count >= prefix.count else {
                throw entry.error(.badFile, "has a right piece that is shorter than the prefix of continued words")
            }
            let result = pair[0] + pair[1].dropFirst(prefix.count)
            table.append(try id(pair[0]), try id(pair[1]), makes: try id(result))
        }
        return table
    }

    func append(
        _ word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32], with workspace: inout PieceWorkspace
    ) throws(TokenizerError) {
        if ignoresMerges, let id = vocabulary.id(of: word) {
            ids.append(id)
            return
        }
        workspace.symbols.removeAll(keepingCapacity: true)
        try addCharacters(of: word, to: &workspace.symbols)
        if workspace.symbols.count > 1 { merge(&workspace.symbols, &workspace.heap) }
        for symbol in workspace.symbols where symbol.length > 0 { ids.append(symbol.id) }
    }

    /// Makes a symbol of each character, of each byte of one that is unknown, or of what is unknown.
    private func addCharacters(
        of word: UnsafeBufferPointer<UInt8>, to symbols: inout [Symbol]
    ) throws(TokenizerError) {
        func add(_ id: Int32, _ length: Int) {
            let place = Int32(truncatingIfNeeded: symbols.count)
            if place > 0 { symbols[symbols.count - 1].next = place }
            symbols.append(
                Symbol(id: id, previous: place - 1, next: -1, length: Int32(truncatingIfNeeded: length)))
        }
        /// The length of what is unknown and not yet a symbol: it becomes one at the next piece that is known.
        var unknownLength = 0
        var position = 0
        while position < word.count {
            let start = position
            position += UTF8Bytes.scalar(word, at: position).1
            let character = word[start..<position]
            let isContinued = start > 0 && !prefix.isEmpty
            let isSuffixed = position == word.count && !suffix.isEmpty
            var node = isContinued ? vocabulary.trie.node(after: prefix) : PieceTrie.root
            node = node.flatMap { vocabulary.trie.node(after: character, from: $0) }
            if isSuffixed { node = node.flatMap { vocabulary.trie.node(after: suffix, from: $0) } }
            if let id = node.flatMap(vocabulary.trie.id(at:)) {
                if unknownLength > 0, let unknownID { add(unknownID, unknownLength) }
                unknownLength = 0
                add(id, position - start)
                continue
            }
            if fallsBackToBytes {
                let bytes = (isContinued ? prefix : []) + character + (isSuffixed ? suffix : [])
                if bytes.allSatisfy({ byteIDs[Int($0)] >= 0 }) {
                    for byte in bytes { add(byteIDs[Int(byte)], 1) }
                    continue
                }
            }
            // Without a piece for what is unknown it is left out.
            guard let unknown else { continue }
            guard let unknownID else { throw .unknown(character, missing: unknown) }
            if unknownLength > 0, !fusesUnknown {
                add(unknownID, unknownLength)
                unknownLength = 0
            }
            unknownLength += position - start
        }
        if unknownLength > 0, let unknownID { add(unknownID, unknownLength) }
    }

    /// Merges neighbours, the earliest merge of the list first and of equal ones the leftmost.
    ///
    /// - Cost: n log n.
    private func merge(_ symbols: inout [Symbol], _ heap: inout [UInt64]) {
        symbols.withUnsafeMutableBufferPointer { symbols in
            heap.removeAll(keepingCapacity: true)
            for place in 0..<symbols.count - 1 {
                guard let rank = merges.rank(symbols[place].id, symbols[place + 1].id) else { continue }
                heap.push(UInt64(rank) << 32 | UInt64(place))
            }
            while let first = heap.popFirst() {
                let place = Int(first & 0xFFFF_FFFF)
                let result = merges.results[Int(first >> 32)]
                let next = Int(symbols[place].next)
                guard symbols[place].length > 0, next >= 0 else { continue }
                // One of the two may have changed since.
                guard let rank = merges.rank(symbols[place].id, symbols[next].id),
                    merges.results[Int(rank)] == result
                else { continue }
                symbols[place].id = result
                symbols[place].length &+= symbols[next].length
                symbols[place].next = symbols[next].next
                symbols[next].length = 0
                let following = Int(symbols[place].next)
                if following >= 0 {
                    symbols[following].previous = Int32(truncatingIfNeeded: place)
                    if let rank = merges.rank(result, symbols[following].id) {
                        heap.push(UInt64(rank) << 32 | UInt64(place))
                    }
                }
                let previous = Int(symbols[place].previous)
                if previous >= 0, let rank = merges.rank(symbols[previous].id, result) {
                    heap.push(UInt64(rank) << 32 | UInt64(previous))
                }
            }
        }
    }
}

extension [UInt64] {
    /// Adds a value to a heap with the smallest on top.
    @inline(__always) fileprivate mutating func push(_ value: UInt64) {
        append(value)
        var place = count - 1
        while place > 0 {
            let parent = (place - 1) / 2
            guard self[parent] > value else { break }
            self[place] = self[parent]
            place = parent
        }
        self[place] = value
    }

    /// Takes the smallest value off a heap.
    @inline(__always) fileprivate mutating func popFirst() -> UInt64? {
        guard let top = first, let value = popLast() else { return nil }
        guard !isEmpty else { return top }
        var place = 0
        while true {
            var child = 2 * place + 1
            guard child < count else { break }
            if child + 1 < count, self[child + 1] < self[child] { child += 1 }
            guard self[child] < value else { break }
            self[place] = self[child]
            place = child
        }
        self[place] = value
        return top
    }
}
