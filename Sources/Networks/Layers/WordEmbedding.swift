/// The words of the texts of one pass, one text after the other: for each its rows in three tables.
struct WordRows: Sendable {
    private(set) var ids: [Int] = []
    private(set) var positions: [Int] = []
    private(set) var types: [Int] = []

    /// Takes the words of chosen texts, and overwrites `mask` with which of them are words, and not padding.
    ///
    /// - Shapes: `rows` `[B]` numbers of texts, `mask` `[B, T]`.
    mutating func gather(
        _ tokens: TokenSet, rows: UnsafeBufferPointer<Int>, _ stem: WordStem, mask: UnsafeMutablePointer<Float>
    ) {
        ids.removeAll(keepingCapacity: true)
        positions.removeAll(keepingCapacity: true)
        types.removeAll(keepingCapacity: true)
        let T = tokens.length
        for (b, row) in rows.enumerated() {
            var wordCount = 0
            for t in 0..<T {
                let place = row * T + t
                let id = Int(tokens.ids[place])
                ids.append(id)
                types.append(stem.typeCount > 0 ? Int(tokens.types?[place] ?? 0) : 0)
                mask[b * T + t] = tokens.mask[place]
                guard let padding = stem.padding else {
                    positions.append(t)
                    continue
                }
                if id != padding { wordCount += 1 }
                positions.append(id == padding ? padding : padding + wordCount)
            }
        }
    }
}

/// Looks words up and adds their positions and types.
///
/// - Shapes: `rows` of `R` words; tables `[*, C]`, `typeTable` nil where there are no types; `out` `[R, C]`.
func wordEmbeddingForward(
    _ out: UnsafeMutablePointer<Float>, words: UnsafePointer<Float>, positionTable: UnsafePointer<Float>,
    typeTable: UnsafePointer<Float>?, _ rows: WordRows, C: Int
) {
    for r in rows.ids.indices {
        let row = out + r * C
        let (word, position) = (words + rows.ids[r] * C, positionTable + rows.positions[r] * C)
        for c in 0..<C { row[c] = word[c] + position[c] }
        guard let type = typeTable.map({ $0 + rows.types[r] * C }) else { continue }
        for c in 0..<C { row[c] += type[c] }
    }
}

/// Adds the gradients of `wordEmbeddingForward`; rows of padding have none.
///
/// - Shapes: `dOut` `[R, C]`.
func wordEmbeddingBackward(
    dWords: UnsafeMutablePointer<Float>, dPositions: UnsafeMutablePointer<Float>,
    dTypes: UnsafeMutablePointer<Float>?, _ dOut: UnsafePointer<Float>, _ rows: WordRows, _ stem: WordStem,
    C: Int
) {
    for r in rows.ids.indices {
        let slope = dOut + r * C
        let (word, position) = (rows.ids[r], rows.positions[r])
        if word != stem.paddingRow {
            let target = dWords + word * C
            for c in 0..<C { target[c] += slope[c] }
        }
        if position != stem.padding {
            let target = dPositions + position * C
            for c in 0..<C { target[c] += slope[c] }
        }
        guard let target = dTypes.map({ $0 + rows.types[r] * C }) else { continue }
        for c in 0..<C { target[c] += slope[c] }
    }
}
