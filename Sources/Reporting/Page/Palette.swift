/// The colours of a page, in a light and a dark scheme.
///
/// Text has a contrast of at least 4.5 to what is behind it, and marks of 3. Neighbours in `things` stay apart for eyes that lack a kind
/// of cone; the heat scales change in lightness and go from orange to blue, never from red to green.
struct Palette {
    let paper, panel, ink, muted, rule, grid, accent: Colour
    /// Of curves, bars and points, in the order in which they are taken.
    let things: [Colour]
    /// From 0 to the largest.
    let sequential: [Colour]
    /// From the most negative over 0 to the most positive.
    let diverging: [Colour]

    static let sequentialCount = 17
    static let divergingCount = 21

    static let light = Palette(
        paper: 0xFFFFFF, panel: 0xF4F6F9, ink: 0x15191F, muted: 0x59626F, rule: 0x7D8794, grid: 0xE3E7EC,
        accent: 0xC2410C,
        things: [0x2333AB, 0xD2423A, 0x387AA0, 0x5A5302, 0xB2007B, 0x14513E, 0x685DBD, 0x323D52],
        sequential: [0xF3F6FB, 0xC9DDF1, 0x88B8DF, 0x3F88C3, 0x14559A, 0x08306B],
        diverging: [0x8A3208, 0xD06A2E, 0xF3B68C, 0xF6F5F3, 0xA9CBE8, 0x3F88C3, 0x0D4384])

    static let dark = Palette(
        paper: 0x14181E, panel: 0x1D232B, ink: 0xEEF1F5, muted: 0xA4ADB9, rule: 0x77818E, grid: 0x2C333D,
        accent: 0xFB923C,
        things: [0x657AF1, 0xD16430, 0x74E8F0, 0xDF9E00, 0xDDA9B4, 0x61C475, 0xA8AFFF, 0x977EA8],
        sequential: [0x1C232C, 0x1D3F60, 0x2568A0, 0x4697D2, 0x8FC8F0, 0xE6F4FF],
        diverging: [0xFFC09A, 0xDB7A43, 0x7A4426, 0x232930, 0x244A6C, 0x4697D2, 0xB4DCF9])

    private init(
        paper: UInt32, panel: UInt32, ink: UInt32, muted: UInt32, rule: UInt32, grid: UInt32, accent: UInt32,
        things: [UInt32], sequential: [UInt32], diverging: [UInt32]
    ) {
        (self.paper, self.panel, self.ink) = (Colour(paper), Colour(panel), Colour(ink))
        (self.muted, self.rule, self.grid) = (Colour(muted), Colour(rule), Colour(grid))
        self.accent = Colour(accent)
        self.things = things.map(Colour.init)
        self.sequential = Colour.ramp(sequential.map(Colour.init), count: Self.sequentialCount)
        self.diverging = Colour.ramp(diverging.map(Colour.init), count: Self.divergingCount)
    }

    /// The scheme as properties of CSS, and the rules of the heat scales' classes.
    var css: String {
        let names = [
            ("paper", paper), ("panel", panel), ("ink", ink), ("muted", muted), ("rule", rule), ("grid", grid),
            ("accent", accent),
        ]
        let things = things.enumerated().map { ("t\($0)", $1) }
        let properties = (names + things).map { "--\($0):\($1.css)" }.joined(separator: ";")
        func rules(_ letter: String, _ colours: [Colour]) -> String {
            colours.enumerated().map { step, colour in
                ".\(letter)\(step) rect{fill:\(colour.css)}.\(letter)\(step) text{fill:\(colour.ink.css)}\n"
            }.joined()
        }
        return ":root{\(properties)}\n" + rules("q", sequential) + rules("d", diverging)
    }
}
