import TensorCore

/// What the reader of a text can be shown: a terminal has a width, and may have block characters and colours; a pipe or a file gets
/// plain text.
public struct TextStyle: Sendable, Hashable {
    /// How wide the terminal is; nil where nothing is cut.
    public var columns: Int?
    /// Whether figures have bars and shades of block characters beside them.
    public var drawsBlocks: Bool
    /// Whether figures have colours of the 256 that terminals share.
    public var hasColours: Bool

    public init(columns: Int?, drawsBlocks: Bool, hasColours: Bool) {
        self.columns = columns
        self.drawsBlocks = drawsBlocks
        self.hasColours = hasColours
    }

    /// That of pipes and files.
    public static let plain = TextStyle(columns: nil, drawsBlocks: false, hasColours: false)

    /// Finds out what a terminal can show, from the variables by which terminals and users say so.
    ///
    /// Block characters need a locale of UTF-8 and colours a terminal that has 256; `TERM=dumb`, or none, has neither. `NO_COLOR`
    /// takes colours away, as https://no-color.org asks, and leaves the blocks.
    ///
    /// - Parameters:
    ///   - columns: how wide the terminal is.
    ///   - environment: the value of a variable; nil when it is not set.
    public init(terminalOf columns: Int, environment: (String) -> String?) {
        func value(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }
        let terminal = value("TERM") ?? "dumb"
        let locale = (value("LC_ALL") ?? value("LC_CTYPE") ?? value("LANG") ?? "").lowercased()
        let isUnicode = locale.contains("utf-8") || locale.contains("utf8")
        let hasPalette = value("COLORTERM") != nil || terminal.contains("256color") || terminal.contains("direct")
        self.init(
            columns: columns, drawsBlocks: terminal != "dumb" && isUnicode,
            hasColours: terminal != "dumb" && hasPalette && value("NO_COLOR") == nil)
    }

    /// What stands where the middle of a text is left out.
    var ellipsis: String { drawsBlocks ? "…" : "..." }
}
