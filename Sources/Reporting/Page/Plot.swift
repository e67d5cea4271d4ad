/// The part of a picture between its axes.
struct Plot {
    let left, top, width, height: Double

    var right: Double { left + width }
    var bottom: Double { top + height }
    func x(_ place: Double) -> Double { left + place * width }
    func y(_ place: Double) -> Double { bottom - place * height }

    /// The room that the labels of a vertical axis need on its left.
    static func margin(of axis: Axis) -> Double { (axis.ticks.map { axis.label($0).drawnWidth() }.max() ?? 0) + 10 }

    /// Draws a line across the plot at every tick, with its figure on the left, and the title above.
    func drawVertical(_ axis: Axis, title: String, in svg: inout Markup) {
        if !title.isEmpty { svg.add("text", ["class": "muted", "y": .init(top - 14)], title.cut(to: 60)) }
        for tick in axis.ticks {
            let y = y(axis.place(tick))
            svg.add("path", ["class": tick == 0 ? "rule" : "grid", "d": "M\(left.length) \(y.length)H\(right.length)"])
            svg.add("text", ["class": "muted end", "x": .init(left - 8), "y": .init(y + 4)], axis.label(tick))
        }
    }

    /// Draws a line below the plot with a mark and its figure at every tick, and the title underneath.
    func drawHorizontal(_ axis: Axis, title: String, in svg: inout Markup) {
        svg.add("path", ["class": "rule", "d": "M\(left.length) \(bottom.length)H\(right.length)"])
        for tick in axis.ticks {
            let x = x(axis.place(tick))
            svg.add("path", ["class": "rule", "d": "M\(x.length) \(bottom.length)v5"])
            svg.add("text", ["class": "muted middle", "x": .init(x), "y": .init(bottom + 20)], axis.label(tick))
        }
        svg.add(
            "text", ["class": "muted middle", "x": .init(left + width / 2), "y": .init(bottom + 42)],
            title.cut(to: 60))
    }

    /// The room that ticks and title of a horizontal axis need below.
    static let horizontalAxisHeight = 50.0
}

/// Names beside their colours, in as many rows as they need.
struct Legend {
    private let entries: [(name: String, shown: String, x: Double, y: Double)]
    let height: Double

    /// Lays names out from the left; fewer than two need no legend.
    init(_ names: [String], width: Double = Picture.width) {
        var entries: [(String, String, Double, Double)] = []
        var (x, y) = (0.0, 0.0)
        for (name, shown) in names.count > 1 ? Array(zip(names, names.cut(to: 32))) : [] {
            let needed = shown.drawnWidth() + 36
            if x > 0, x + needed > width { (x, y) = (0, y + 22) }
            entries.append((name, shown, x, y))
            x += needed
        }
        self.entries = entries
        height = entries.isEmpty ? 0 : y + 30
    }

    func draw(in svg: inout Markup) {
        for (number, entry) in entries.enumerated() {
            svg.add("g", ["class": .init(Thing.style(number))]) { svg in
                svg.add("title", entry.name)
                svg.add(
                    "rect",
                    ["class": "fill", "x": .init(entry.x), "y": .init(entry.y + 2), "width": 12, "height": 12, "rx": 2])
                svg.add("text", ["x": .init(entry.x + 18), "y": .init(entry.y + 13)], entry.shown)
            }
        }
    }
}

/// One of the things that a picture tells apart.
enum Thing {
    /// The classes that give a thing its colour and, where there are more things than colours, its kind of line.
    static func style(_ number: Int) -> String {
        let (round, colour) = number.quotientAndRemainder(dividingBy: Palette.light.things.count)
        return round == 0 ? "t\(colour)" : "t\(colour) round\(min(round, 3))"
    }
}
