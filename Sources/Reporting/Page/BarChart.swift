extension Report.Bars {
    /// The figures as bars from 0, side by side at every label, with whiskers for intervals.
    struct BarChart: Drawing {
        private let bars: Report.Bars
        private let axis: Axis
        private let legend: Legend
        private let plot: Plot
        private let labels: [String]
        private let turnsLabels: Bool

        let width, height: Double

        private static let plotHeight = 300.0
        /// The least that a bar is wide, and the room between the bars of two labels.
        private static let leastBar = 3.0

        /// Lays figures out; nil when none is finite.
        init?(_ bars: Report.Bars) {
            let figures = bars.groups.flatMap { group in
                group.values.compactMap { $0 }
                    + group.intervals.flatMap { $0.map { [$0.lowerBound, $0.upperBound] } ?? [] }
            }
            guard figures.contains(where: \.isFinite), let axis = Axis(figures + [0], kind: bars.kind, ends: .atTicks)
            else { return nil }
            self.bars = bars
            self.axis = axis
            legend = Legend(bars.groups.map(\.name))
            labels = bars.labels.cut(to: 22)
            var left = Plot.margin(of: axis)
            let least = Double(bars.labels.count) * Self.leastBar * Double(bars.groups.count + 2)
            let width = max(Picture.width, left + least)
            let widest = labels.map { $0.drawnWidth() }.max() ?? 0
            turnsLabels = widest > (width - left) / Double(labels.count) - 4
            // Turned labels lean to the left, the first ones over the side.
            for (place, label) in labels.enumerated() where turnsLabels {
                let share = (Double(place) + 0.5) / Double(labels.count)
                left = max(left, (label.drawnWidth() * 0.77 - share * width) / (1 - share))
            }
            self.width = width
            plot = Plot(left: left, top: legend.height + 30, width: width - left, height: Self.plotHeight)
            // Labels are turned by 40 degrees.
            height = plot.bottom + (turnsLabels ? widest * 0.65 + 22 : 24) + 26
        }

        var description: String {
            "Bars of \(bars.groups.count) groups at \(bars.labels.count) places."
        }

        func draw(in svg: inout Markup) {
            legend.draw(in: &svg)
            plot.drawVertical(axis, title: "", in: &svg)
            drawLabels(in: &svg)
            let band = plot.width / Double(bars.labels.count)
            // A bar's width of room between the labels, at most a third of it all; few bars do not become planks.
            let bar = min(band * 0.72 / Double(bars.groups.count), 44)
            for place in bars.labels.indices {
                let start = plot.left + (Double(place) + 0.5) * band - bar * Double(bars.groups.count) / 2
                for (number, group) in bars.groups.enumerated() {
                    guard let value = group.values[place], value.isFinite else { continue }
                    let interval = group.intervals.isEmpty ? nil : group.intervals[place]
                    svg.add("g", ["class": .init(Thing.style(number))]) { svg in
                        svg.add("title", title(bars.labels[place], group.name, value, interval))
                        draw(value, interval, from: start + Double(number) * bar, width: bar, in: &svg)
                    }
                }
            }
        }

        private func draw(
            _ value: Double, _ interval: ClosedRange<Double>?, from x: Double, width: Double, in svg: inout Markup
        ) {
            let (zero, end) = (plot.y(axis.place(0)), plot.y(axis.place(value)))
            let gap = width > 6 ? 1.0 : 0
            svg.add(
                "rect",
                [
                    "class": "fill", "x": .init(x + gap / 2), "y": .init(min(zero, end)), "width": .init(width - gap),
                    // A figure of nearly 0 is still a line.
                    "height": .init(max(abs(end - zero), 0.6)),
                ])
            guard let interval, interval.lowerBound.isFinite, interval.upperBound.isFinite else { return }
            let (low, high) = (plot.y(axis.place(interval.lowerBound)), plot.y(axis.place(interval.upperBound)))
            let (middle, cap) = (x + width / 2, min(width * 0.4, 8))
            let line = "M\(middle.length) \(low.length)V\(high.length)"
            let caps = [low, high].map { "M\((middle - cap / 2).length) \($0.length)h\(cap.length)" }
            // On an edge of paper it stands out from the bar as well.
            for style: Markup.Attribute in ["halo", "whisker"] {
                svg.add("path", ["class": style, "d": .init(line + caps.joined())])
            }
        }

        private func title(_ label: String, _ group: String, _ value: Double, _ interval: ClosedRange<Double>?)
            -> String
        {
            let figure = bars.kind.text(.number(value))
            let ends = interval.map { [$0.lowerBound, $0.upperBound].map { bars.kind.text(.number($0)) } }
            return "\(label.cut(to: 80)), \(group.cut(to: 80)): \(figure)"
                + (ends.map { ", 95 %: \($0.joined(separator: " to "))" } ?? "")
        }

        private func drawLabels(in svg: inout Markup) {
            let band = plot.width / Double(bars.labels.count)
            // Every label where they have room, else every second, third, ...
            let every = turnsLabels ? max(1, Int((15 / band).rounded(.up))) : 1
            for place in stride(from: 0, to: labels.count, by: every) {
                let x = plot.left + (Double(place) + 0.5) * band
                svg.add("g") { svg in
                    svg.add("title", bars.labels[place])
                    if turnsLabels {
                        let turn = "translate(\((x + 4).length) \((plot.bottom + 14).length)) rotate(-40)"
                        svg.add("text", ["class": "end", "transform": .init(turn)], labels[place])
                    } else {
                        svg.add(
                            "text", ["class": "middle", "x": .init(x), "y": .init(plot.bottom + 20)], labels[place])
                    }
                }
            }
            svg.add(
                "text", ["class": "muted middle", "x": .init(plot.left + plot.width / 2), "y": .init(height - 8)],
                bars.title.cut(to: 60))
        }
    }
}
