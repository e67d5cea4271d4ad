extension Report.Scatter {
    /// The points between two axes, with whiskers for intervals, and their names where these have room.
    struct ScatterPlot: Drawing {
        private let scatter: Report.Scatter
        private let points: [Point]
        private let groups: [String]
        private let x, y: Axis
        private let plot: Plot
        private let legend: Legend

        let width = Picture.width
        let height: Double

        private static let plotHeight = 400.0
        private static let radius = 5.5

        /// Lays points out; nil when there is none with two finite figures.
        init?(_ scatter: Report.Scatter) {
            points = scatter.points.filter { $0.x.isFinite && $0.y.isFinite }
            let ends = points.flatMap { $0.interval.map { [$0.lowerBound, $0.upperBound] } ?? [] }
            guard let x = Axis(points.map(\.x), kind: scatter.x.kind, ends: .atTicks),
                let y = Axis(points.map(\.y) + ends, kind: scatter.y.kind, ends: .atTicks)
            else { return nil }
            (self.scatter, self.x, self.y) = (scatter, x, y)
            var groups: [String] = []
            for point in points where !groups.contains(point.group) { groups.append(point.group) }
            self.groups = groups
            legend = Legend(groups)
            let left = Plot.margin(of: y)
            plot = Plot(
                left: left, top: legend.height + 32, width: Picture.width - left - 24, height: Self.plotHeight)
            height = plot.bottom + Plot.horizontalAxisHeight
        }

        var description: String {
            "\(points.count) points, \(scatter.y.title ?? "") against \(scatter.x.title ?? "")."
        }

        func draw(in svg: inout Markup) {
            legend.draw(in: &svg)
            plot.drawVertical(y, title: (scatter.y.title ?? "").capitalized, in: &svg)
            plot.drawHorizontal(x, title: (scatter.x.title ?? "").capitalized, in: &svg)
            for point in points { draw(point, in: &svg) }
            drawNames(in: &svg)
        }

        private func draw(_ point: Point, in svg: inout Markup) {
            let (x, y) = (plot.x(x.place(point.x)), plot.y(y.place(point.y)))
            let number = groups.firstIndex(of: point.group) ?? 0
            svg.add("g", ["class": .init(Thing.style(number))]) { svg in
                svg.add("title", title(of: point))
                if let interval = point.interval, interval.lowerBound.isFinite, interval.upperBound.isFinite {
                    let (low, high) = (
                        plot.y(self.y.place(interval.lowerBound)), plot.y(self.y.place(interval.upperBound))
                    )
                    svg.add("path", ["class": "range", "d": .init("M\(x.length) \(low.length)V\(high.length)")])
                }
                svg.add("circle", ["class": "fill", "cx": .init(x), "cy": .init(y), "r": .init(Self.radius)])
            }
        }

        private func title(of point: Point) -> String {
            let (x, y) = (scatter.x.kind.text(.number(point.x)), scatter.y.kind.text(.number(point.y)))
            let ends = point.interval.map { [$0.lowerBound, $0.upperBound].map { scatter.y.kind.text(.number($0)) } }
            return "\(point.name) (\(point.group)): \(scatter.x.title ?? "x") \(x), \(scatter.y.title ?? "y") \(y)"
                + (ends.map { ", 95 %: \($0.joined(separator: " to "))" } ?? "")
        }

        private struct Box {
            let left, top, right, bottom: Double

            func overlaps(_ other: Box) -> Bool {
                left < other.right && other.left < right && top < other.bottom && other.top < bottom
            }
        }

        /// Names on the right of their points, or on the left, above or below where another name or point is in the way; where
        /// all are taken, the name is only in the hover text and the table.
        private func drawNames(in svg: inout Markup) {
            let reach = Self.radius + 4
            let places = points.map { (x: plot.x(x.place($0.x)), y: plot.y(y.place($0.y))) }
            var taken = places.map { Box(left: $0.x - 6, top: $0.y - 6, right: $0.x + 6, bottom: $0.y + 6) }
            for (name, place) in zip(points.map(\.name).cut(to: 28), places) {
                let width = name.drawnWidth()
                let candidates: [(left: Double, base: Double)] = [
                    (place.x + reach, place.y + 4), (place.x - reach - width, place.y + 4),
                    (place.x - width / 2, place.y - reach - 1), (place.x - width / 2, place.y + reach + 10),
                ]
                for (left, base) in candidates {
                    let box = Box(left: left, top: base - 11, right: left + width, bottom: base + 3)
                    guard left >= plot.left, box.right <= Picture.width, box.top >= plot.top - 8,
                        !taken.contains(where: box.overlaps)
                    else { continue }
                    taken.append(box)
                    svg.add("text", ["class": "name", "x": .init(left), "y": .init(base)], name)
                    break
                }
            }
        }
    }
}
