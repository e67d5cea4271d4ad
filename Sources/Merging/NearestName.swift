/// The candidate that takes the fewest edits to reach, nil when even that one is more than half of the name away.
func nearestName(to name: String, among candidates: [String]) -> String? {
    let best = candidates.map { (editDistance(name, $0), $0) }.min { $0.0 < $1.0 }
    guard let (distance, candidate) = best, distance <= max(2, name.count / 2) else { return nil }
    return candidate
}

/// The Levenshtein distance: insertions, deletions and substitutions of one character.
func editDistance(_ a: String, _ b: String) -> Int {
    let b = Array(b)
    var row = Array(0...b.count)
    for (i, character) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let substitution = diagonal + (character == b[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(substitution, row[j] + 1, row[j + 1] + 1)
        }
    }
    return row[b.count]
}
