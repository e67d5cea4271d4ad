import TensorCore

extension String {
    /// About how wide the text is drawn in letters of a size, in pixels. Fonts differ; this is on the safe side of common ones.
    func drawnWidth(_ size: Double = Picture.letterSize) -> Double { Double(displayWidth) * size * 0.62 }

    /// The text on one line of at most so many columns, with its middle left out where it is longer.
    func cut(to columns: Int) -> String {
        escapingControlCharacters.cutInTheMiddle(to: columns, mark: "…", counting: \.drawnColumns)
    }

    /// The text with its first letter as a sentence begins.
    var capitalized: String { prefix(1).uppercased() + dropFirst() }
}

extension Character {
    /// A combining mark counts as a column, so that a heap of them is cut, too.
    var drawnColumns: Int { max(String(self).displayWidth, unicodeScalars.count) }
}
