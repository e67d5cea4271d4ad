/// A background of the 256 colours that terminals share, and black or white on it, whichever is easier to read.
///
/// - Source: xterm's palette: 16 to 231 are a cube of 6 x 6 x 6, 232 to 255 greys.
struct TerminalColour: Sendable, Hashable {
    /// The number of the background, from 16 to 231.
    let background: UInt8

    /// From little to much.
    static let sequential = [231, 230, 229, 222, 215, 208, 202, 160].map(TerminalColour.init)
    /// From the most negative over nothing to the most positive, red and blue as on pages.
    static let diverging = [160, 203, 210, 217, 224, 231, 195, 153, 111, 69, 26].map(TerminalColour.init)

    /// A text on this background, after which colours are as they were.
    func painting(_ text: String) -> String {
        "\u{1B}[48;5;\(background);38;5;\(foreground)m\(text)\u{1B}[0m"
    }

    /// 16 is black and 231 white.
    var foreground: UInt8 { isDark ? 231 : 16 }

    /// Whether white stands out more than black: by WCAG's ratio, that begins below a luminance of 0.179.
    private var isDark: Bool {
        let place = Int(background) - 16
        let levels = [place / 36, place / 6 % 6, place % 6].map { Self.luminance[$0] }
        return 0.2126 * levels[0] + 0.7152 * levels[1] + 0.0722 * levels[2] < 0.179
    }

    /// The linear light of the cube's levels 0, 95, 135, 175, 215 and 255.
    private static let luminance = [0, 0.1144, 0.2423, 0.4287, 0.6795, 1]
}
