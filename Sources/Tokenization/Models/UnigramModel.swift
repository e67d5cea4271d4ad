/// Words cut into the pieces that are likeliest together, as SentencePiece's unigram model does.
struct UnigramModel: PieceModel {
    let vocabulary: PieceVocabulary
    /// The logarithm of the probability of each piece.
    private let scores: [Double]
    private let unknownID: Int32?
    private let unknownScore: Double
    private let fallsBackToBytes: Bool
    private let byteIDs: [Int32]

    /// The best way to a byte of a word.
    struct Path {
        var score: Double
        var id: Int32
        /// Where its last piece begins; -1 while no way is known.
        var start: Int32
    }

    /// Reads pairs of pieces and scores, the number of what is unknown, and whether bytes take its place.
    init(_ component: Component) throws(TokenizerError) {
        var vocabulary = PieceVocabulary()
        var scores: [Double] = []
        for (id, entry) in try component.required("vocab").elements().enumerated() {
            let pair = try entry.elements()
            guard pair.count == 2, id < Component.idLimit else {
                throw entry.error(.badFile, "is not a pair of a piece and its score")
            }
            try vocabulary.append(try pair[0].string())
            guard let score = pair[1].value.numberText.flatMap(SerdeNumber.double), score.isFinite else {
                throw pair[1].error(.badFile, "is no finite number")
            }
            scores.append(score)
        }
        unknownID = try component["unk_id"]?.id()
        if let unknownID, unknownID >= scores.count {
            throw component.error(.badFile, "has the unk_id \(unknownID) and a vocabulary of \(scores.count) pieces")
        }
        fallsBackToBytes = try component["byte_fallback"]?.flag() ?? false
        // The library's penalty.
        unknownScore = (scores.min() ?? .infinity) - 10
        byteIDs = vocabulary.byteIDs
        self.vocabulary = vocabulary
        self.scores = scores
    }

    func append(
        _ word: UnsafeBufferPointer<UInt8>, to ids: inout [Int32], with workspace: inout PieceWorkspace
    ) throws(TokenizerError) {
        try findPaths(word, &workspace.paths)
        // The ends of the pieces, from the last; neighbours that are unknown are one.
        workspace.ends.removeAll(keepingCapacity: true)
        var end = word.count
        var isUnknown = false
        while end > 0 {
            let path = workspace.paths[end]
            let wasUnknown = isUnknown
            isUnknown = path.id == unknownID
            if !(isUnknown && wasUnknown) { workspace.ends.append(end) }
            end = Int(path.start)
        }
        var start = 0
        for end in workspace.ends.reversed() {
            let path = workspace.paths[end]
            if path.id == unknownID {
                try appendUnknown(UnsafeBufferPointer(rebasing: word[start..<end]), to: &ids)
            } else {
                ids.append(path.id)
            }
            start = end
        }
    }

    /// Finds the best way to each byte at which a character ends; of equally good ones that of the earlier start.
    private func findPaths(_ word: UnsafeBufferPointer<UInt8>, _ paths: inout [Path]) throws(TokenizerError) {
        paths.removeAll(keepingCapacity: true)
        paths.append(contentsOf: repeatElement(Path(score: 0, id: 0, start: -1), count: word.count + 1))
        var position = 0
        while position < word.count {
            let score = paths[position].score
            let length = UTF8Bytes.scalar(word, at: position).1
            var isCovered = false
            var node = PieceTrie.root
            var end = position
            func take(_ id: Int32, _ candidate: Double) {
                if paths[end].start < 0 || candidate > paths[end].score {
                    paths[end] = Path(score: candidate, id: id, start: Int32(truncatingIfNeeded: position))
                }
            }
            while end < word.count, let next = vocabulary.trie.child(of: node, word[end]) {
                node = next
                end += 1
                guard let id = vocabulary.trie.id(at: node) else { continue }
                take(id, scores[Int(id)] + score)
                if end - position == length { isCovered = true }
            }
            if !isCovered {
                end = position + length
                if paths[end].start < 0 || unknownScore + score > paths[end].score {
                    guard let unknownID else { throw .unknown(word[position..<end], missing: nil) }
                    take(unknownID, unknownScore + score)
                }
            }
            position += length
        }
    }

    /// Adds what stands for an unknown text: the piece that it happens to be, its bytes, or the piece of all that is unknown.
    private func appendUnknown(_ text: UnsafeBufferPointer<UInt8>, to ids: inout [Int32]) throws(TokenizerError) {
        if let id = vocabulary.id(of: text) {
            ids.append(id)
        } else if fallsBackToBytes, text.allSatisfy({ byteIDs[Int($0)] >= 0 }) {
            for byte in text { ids.append(byteIDs[Int(byte)]) }
        } else if let unknownID {
            ids.append(unknownID)
        }
    }
}
