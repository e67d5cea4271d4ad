/// The pieces of a model with their numbers.
struct PieceVocabulary: Sendable {
    private(set) var trie = PieceTrie()
    /// The piece of each number; nil for numbers that stand for none.
    private(set) var pieces: [String?] = []
    /// How many pieces there are.
    private(set) var count = 0

    /// Reads an object of pieces and numbers.
    init(_ component: Component) throws(TokenizerError) {
        guard let members = component.value.object else {
            throw component.error(.badFile, "is \(component.value.kind.phrase) and not an object")
        }
        for member in members {
            let place = Component(
                value: member.value, path: "\(component.path)[\(member.key.debugDescription)]", file: component.file)
            try add(member.key, try place.id(), place)
        }
    }

    /// Begins without pieces.
    init() {}

    /// Adds a piece.
    ///
    /// - Parameter place: where it stands in the file.
    mutating func add(_ piece: String, _ id: Int32, _ place: Component) throws(TokenizerError) {
        if pieces.count <= id { pieces.append(contentsOf: repeatElement(nil, count: Int(id) - pieces.count + 1)) }
        if let other = pieces[Int(id)] {
            throw place.error(
                .badFile, "is \(piece.debugDescription) with the number \(id), which \(other.debugDescription) has")
        }
        if let other = try trie.insert(piece.utf8, id: id) {
            throw place.error(
                .badFile, "is \(piece.debugDescription) with the number \(id), and the piece has the number \(other)")
        }
        pieces[Int(id)] = piece
        count += 1
    }

    /// Adds the next piece of a list; of one that stands in it twice the later number counts, as in the library.
    mutating func append(_ piece: String) throws(TokenizerError) {
        try trie.set(piece.utf8, id: Int32(truncatingIfNeeded: count))
        pieces.append(piece)
        count += 1
    }

    /// The number of a piece; nil when there is none.
    func id(of piece: some Sequence<UInt8>) -> Int32? { trie.id(of: piece) }

    /// The numbers of `<0x00>` to `<0xFF>`; -1 for those that are missing.
    var byteIDs: [Int32] {
        (0..<256).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            return id(of: "<0x\(byte < 16 ? "0" : "")\(digits)>".utf8) ?? -1
        }
    }
}
