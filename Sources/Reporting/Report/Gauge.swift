extension Report {
    /// What a terminal draws for the figures of a column.
    public enum Gauge: Sendable, Hashable {
        /// A bar beside each, as long against the longest as the figure against the largest of the column.
        case bar
        /// A colour behind each, or a shade beside it where there are no colours.
        case heat(Scale)
    }
}

/// A gauge over the figures of a column or matrix, as a terminal draws it.
enum DrawnGauge {
    case bars(FigureScale)
    case shades(FigureScale)
    case colours(FigureScale)

    /// Scales a gauge to its figures; nil where a style has nothing to draw it with.
    init?(_ gauge: Report.Gauge, _ figures: some Sequence<Double?>, in style: TextStyle) {
        switch gauge {
        case .bar:
            guard style.drawsBlocks else { return nil }
            self = .bars(FigureScale(figures, .sequential))
        case .heat(let scale):
            guard style.hasColours || style.drawsBlocks else { return nil }
            let scale = FigureScale(figures, scale)
            self = style.hasColours ? .colours(scale) : .shades(scale)
        }
    }

    /// What it adds to the columns of a table.
    var columns: [Table.Column] {
        switch self {
        case .bars, .shades: [.init("", .left, fit: .leftOut)]
        case .colours: []
        }
    }

    /// A figure and what is drawn for it.
    func cells(_ text: String, _ figure: Double?) -> [Table.Cell] {
        switch self {
        case .bars(let scale): [.init(text), .init(scale.bar(figure))]
        case .shades(let scale): [.init(text), .init(scale.shade(figure))]
        case .colours(let scale): [.init(text, scale.colour(figure))]
        }
    }
}

/// Turns figures into bars, shades and colours by the largest distance among them from the middle of a scale.
struct FigureScale {
    private let reach: Double
    private let scale: Report.Scale

    /// The longest bar, in characters.
    static let barLength = 10

    init(_ figures: some Sequence<Double?>, _ scale: Report.Scale) {
        self.scale = scale
        reach = scale.reach(of: figures.lazy.compactMap { $0 })
    }

    private func share(_ figure: Double?) -> Double? { figure.flatMap { scale.share($0, of: reach) } }

    /// Blocks in eighths of a character, of which a figure that is more than 0 has at least one.
    func bar(_ figure: Double?) -> String {
        guard let share = share(figure), share > 0 else { return "" }
        let eighths = max(1, Int((share * Double(Self.barLength * 8)).rounded()))
        let rest = eighths % 8
        return String(repeating: "█", count: eighths / 8) + (rest == 0 ? "" : String(Self.eighths[rest - 1]))
    }

    private static let eighths = Array("▏▎▍▌▋▊▉")

    /// One character that is the fuller the larger the magnitude; empty for nothing.
    func shade(_ figure: Double?) -> String {
        guard let share = share(figure), scale != .sequential || share > 0 else { return "" }
        let level = Int((abs(share) * 4).rounded(.up))
        return level == 0 ? "" : String(Self.shades[level - 1])
    }

    private static let shades = Array("░▒▓█")

    /// Nil for what is no number.
    func colour(_ figure: Double?) -> TerminalColour? {
        guard let figure, !figure.isNaN else { return nil }
        let share = share(figure) ?? 0
        switch scale {
        case .sequential:
            let colours = TerminalColour.sequential
            return colours[min(colours.count - 1, Int(max(0, share) * Double(colours.count)))]
        case .diverging, .around:
            let colours = TerminalColour.diverging
            return colours[Int((share + 1) / 2 * Double(colours.count - 1) + 0.5)]
        }
    }
}
