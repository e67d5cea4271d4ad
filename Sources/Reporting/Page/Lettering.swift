import TensorCore

extension String {
    /// About how wide the text is drawn in letters of a size, in pixels. Fonts differ; this is on the safe side of common ones.
    func drawnWidth(_ size: Double = Picture.letterSize) -> Double { Double(displayWidth) * size * 0.62 }

    /// The text on one line of at most so many columns, with its middle left out where it is longer.
    ///
    /// A combining mark counts as a column, so that a heap of them is cut, too.
    func cut(to columns: Int) -> String {
        let scalars = Array(escapingControlCharacters.unicodeScalars)
        let widths = scalars.map { max(1, String($0).displayWidth) }
        guard widths.reduce(0, +) > columns else { return escapingControlCharacters }
        var (front, back, used) = (0, scalars.count, 1)
        while true {
            let takesFront = front <= scalars.count - back
            let width = widths[takesFront ? front : back - 1]
            if used + width > columns { break }
            used += width
            if takesFront { front += 1 } else { back -= 1 }
        }
        var text = String.UnicodeScalarView(scalars[..<front])
        text.append("…")
        text.append(contentsOf: scalars[back...])
        return String(text)
    }

    /// The text with its first letter as a sentence begins.
    var capitalized: String { prefix(1).uppercased() + dropFirst() }
}
