extension Report.SeriesFigure {
    /// The curves between two axes. A curve is broken where a figure is not finite, or not positive on a logarithmic axis.
    struct CurveChart: Drawing {
        private let figure: Report.SeriesFigure
        private let x, y: Axis
        private let plot: Plot
        private let legend: Legend

        let width = Picture.width
        let height: Double

        private static let plotHeight = 300.0
        /// The most points of a curve that are marked one by one.
        private static let mostMarks = 40

        /// Lays curves out; nil when no figure can be shown.
        init?(_ figure: Report.SeriesFigure) {
            let points = figure.curves.flatMap(\.points)
            let shown = points.filter { $0.y.isFinite && (!figure.isLogarithmic || $0.y > 0) }
            guard let y = Axis(shown.map(\.y), kind: figure.kind, ends: .atTicks, isLogarithmic: figure.isLogarithmic),
                let x = Axis(shown.map(\.x), kind: figure.axis.kind, ends: .atFigures)
            else { return nil }
            (self.figure, self.x, self.y) = (figure, x, y)
            // On a phone, where the right half of a picture is out of sight, the names are not.
            legend = Legend(figure.curves.map(\.name), width: Picture.width / 2)
            let left = Plot.margin(of: y)
            plot = Plot(
                left: left, top: legend.height + 32, width: Picture.width - left - 16, height: Self.plotHeight)
            height = plot.bottom + Plot.horizontalAxisHeight
        }

        var description: String {
            "\(figure.curves.count) curves of \(figure.title) by \(figure.axis.title ?? "place")"
                + (figure.isLogarithmic ? " on a logarithmic axis." : ".")
        }

        func draw(in svg: inout Markup) {
            legend.draw(in: &svg)
            let title = figure.title.capitalized + (figure.isLogarithmic ? " (logarithmic)" : "")
            plot.drawVertical(y, title: title, in: &svg)
            plot.drawHorizontal(x, title: figure.axis.title ?? "", in: &svg)
            svg.add("g", ["class": "curves"]) { svg in
                for number in figure.curves.indices { drawCurve(number, in: &svg) }
            }
        }

        private func drawCurve(_ number: Int, in svg: inout Markup) {
            let curve = figure.curves[number]
            let runs = runs(of: curve)
            guard let first = runs.first?.first, let last = runs.last?.last else { return }
            svg.add("g", ["class": .init(Thing.style(number))]) { svg in
                let name = curve.name.isEmpty ? "" : "\(curve.name.cut(to: 80)): "
                svg.add("title", name + (first == last ? text(first) : "\(text(first)) to \(text(last))"))
                svg.add("path", ["class": "curve", "d": .init(runs.map(path).joined())])
                if runs.joined().count <= Self.mostMarks {
                    for point in runs.joined() {
                        svg.add(
                            "circle",
                            [
                                "class": "fill", "cx": .init(plot.x(x.place(point.x))),
                                "cy": .init(plot.y(y.place(point.y))), "r": 3,
                            ]
                        ) { $0.add("title", name + text(point)) }
                    }
                }
            }
        }

        private struct Point: Equatable {
            let x, y: Double
        }

        private func text(_ point: Point) -> String {
            "\(figure.kind.text(.number(point.y))) at \(x.kind.text(.number(point.x)))"
        }

        private static func isShown(_ figure: Double, on axis: Axis) -> Bool {
            figure.isFinite && (!axis.isLogarithmic || figure > 0)
        }

        /// The stretches of a curve that can be shown.
        private func runs(of curve: Report.SeriesFigure.Curve) -> [[Point]] {
            curve.points.split { !Self.isShown($0.y, on: y) }.map { $0.map { Point(x: $0.x, y: $0.y) } }
        }

        /// The line through points. Of those within a pixel the first, lowest, highest and last are enough for the same picture.
        private func path(_ points: [Point]) -> String {
            var kept: [Point] = []
            var start = 0
            while start < points.count {
                let column = plot.x(x.place(points[start].x)).rounded()
                let end = points[start...].firstIndex { plot.x(x.place($0.x)).rounded() != column } ?? points.count
                let low = (start..<end).min { points[$0].y < points[$1].y }!
                let high = (start..<end).max { points[$0].y < points[$1].y }!
                kept += Set([start, low, high, end - 1]).sorted().map { points[$0] }
                start = end
            }
            let places = kept.map { "\(plot.x(x.place($0.x)).length) \(plot.y(y.place($0.y)).length)" }
            // A point by itself is a dot: a line of no length with round ends.
            return "M" + places[0] + (places.count == 1 ? "h0" : "L" + places.dropFirst().joined(separator: " "))
        }
    }
}
