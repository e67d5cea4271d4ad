extension String {
    /// The number of terminal columns the text takes: two for East Asian wide characters and emoji, none for combining marks.
    package var displayWidth: Int {
        if utf8.allSatisfy({ $0 < 0x80 }) { return utf8.count }
        return unicodeScalars.reduce(0) { $0 + $1.displayWidth }
    }

    /// As many characters from the beginning as fit into so many columns.
    func prefix(columns: Int) -> String { String(Self.characters(self, columns: columns) { String($0).displayWidth }) }

    /// The text with its middle left out where it is too long: `model.layers.…proj.weight`.
    ///
    /// - Parameters:
    ///   - mark: stands for what is left out.
    ///   - share: of what stays, how much is from the beginning.
    ///   - width: how many columns a character counts.
    func cutInTheMiddle(
        to columns: Int, mark: String, start share: Double = 0.5,
        counting width: (Character) -> Int = { String($0).displayWidth }
    ) -> String {
        guard reduce(0, { $0 + width($1) }) > columns else { return self }
        let room = max(0, columns - mark.displayWidth)
        let first = Int((share * Double(room)).rounded(.up))
        let start = Self.characters(self, columns: first, counting: width)
        let end = Self.characters(reversed(), columns: room - first, counting: width)
        return String(start) + mark.prefix(columns: columns) + String(end.reversed())
    }

    private static func characters(
        _ text: some Sequence<Character>, columns: Int, counting width: (Character) -> Int
    ) -> [Character] {
        var used = 0
        return Array(
            text.prefix { character in
                used += width(character)
                return used <= columns
            })
    }
}

extension Unicode.Scalar {
    fileprivate var displayWidth: Int {
        switch properties.generalCategory {
        case .nonspacingMark, .enclosingMark, .format: return 0
        default: return Self.wideRanges.contains { $0.contains(value) } ? 2 : 1
        }
    }

    /// The blocks whose characters are wide or full-width in Unicode's East Asian Width (UAX 11), merged to whole blocks.
    private static let wideRanges: [ClosedRange<UInt32>] = [
        0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x4DBF, 0x4E00...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3,
        0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F680...0x1F6FF,
        0x1F900...0x1F9FF, 0x20000...0x3FFFD,
    ]
}
