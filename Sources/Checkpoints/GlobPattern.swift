/// A shell pattern: `*` stands for any text, `?` for one character, `[a-z]` and `[!a-z]` for one of a set, `\` for the next
/// character itself. Nothing is special about dots and slashes.
///
/// Unlike `fnmatch` it matches Unicode scalars in every locale, names that hold a NUL, and in polynomial time.
struct GlobPattern: Sendable {
    private enum Piece: Sendable {
        case scalar(Unicode.Scalar)
        case any
        case set([ClosedRange<Unicode.Scalar>], isNegated: Bool)
        case anyText
    }

    private let pieces: [Piece]

    init(_ pattern: String) {
        var pieces: [Piece] = []
        var rest = pattern.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "*": pieces.append(.anyText)
            case "?": pieces.append(.any)
            // A bracket that is never closed stands for itself, as in a shell.
            case "[": pieces.append(Self.set(&rest) ?? .scalar(scalar))
            case "\\": pieces.append(.scalar(rest.popFirst() ?? scalar))
            default: pieces.append(.scalar(scalar))
            }
        }
        self.pieces = pieces
    }

    /// Reads a set after its opening bracket; leaves the text alone when there is no closing one.
    private static func set(_ text: inout Substring.UnicodeScalarView) -> Piece? {
        var rest = text
        var isNegated = false
        if rest.first == "!" || rest.first == "^" {
            isNegated = true
            rest.removeFirst()
        }
        var ranges: [ClosedRange<Unicode.Scalar>] = []
        var isFirst = true
        while let scalar = rest.popFirst() {
            // A closing bracket in front is a member.
            if scalar == "]", !isFirst {
                text = rest
                return .set(ranges, isNegated: isNegated)
            }
            isFirst = false
            let low = scalar == "\\" ? rest.popFirst() ?? scalar : scalar
            if rest.first == "-", let high = rest.dropFirst().first, high != "]" {
                rest.removeFirst(2)
                if low <= high { ranges.append(low...high) }
            } else {
                ranges.append(low...low)
            }
        }
        return nil
    }

    /// Whether the pattern matches a whole text.
    ///
    /// - Cost: at most the product of both lengths: only the last `*` is ever tried again.
    func matches(_ text: String) -> Bool {
        let scalars = text.unicodeScalars
        var position = scalars.startIndex
        var piece = 0
        var lastStar: (piece: Int, position: String.Index)?
        while true {
            if piece < pieces.count, case .anyText = pieces[piece] {
                lastStar = (piece, position)
                piece += 1
            } else if piece < pieces.count, position < scalars.endIndex, Self.matches(pieces[piece], scalars[position])
            {
                piece += 1
                scalars.formIndex(after: &position)
            } else if piece == pieces.count, position == scalars.endIndex {
                return true
            } else if let star = lastStar, star.position < scalars.endIndex {
                // Let the last star swallow one more.
                position = scalars.index(after: star.position)
                lastStar = (star.piece, position)
                piece = star.piece + 1
            } else {
                return false
            }
        }
    }

    private static func matches(_ piece: Piece, _ scalar: Unicode.Scalar) -> Bool {
        switch piece {
        case .scalar(let wanted): scalar == wanted
        case .any: true
        case .set(let ranges, let isNegated): ranges.contains { $0.contains(scalar) } != isNegated
        case .anyText: false
        }
    }
}
