extension Report.Matrix {
    /// The matrix as coloured cells, with their figures where there is room.
    struct HeatMap: Drawing {
        private let matrix: Report.Matrix
        private let texts: [[String]]
        /// What the pointer shows of each figure.
        private let remarks: [[String]]
        private let cell: (width: Double, height: Double)
        private let left, top: Double
        private let turnsTitles: Bool
        private let columnTitles, rowTitles: [String]
        /// Nil where cells have no room for figures.
        private let figureSize: Double?
        /// The largest distance of what is finite from the middle of the scale.
        private let reach: Double

        /// Sizes of figures, of which the first that fits is taken, with the room beside them.
        private static let figureSizes = [(size: 12.0, room: 10.0), (size: 11, room: 3)]
        private static let scaleHeight = 44.0

        /// Lays a matrix out; nil when it has no cells.
        init?(_ matrix: Report.Matrix) {
            guard !matrix.rows.isEmpty, !matrix.columns.isEmpty else { return nil }
            self.matrix = matrix
            let texts = matrix.texts
            self.texts = texts
            remarks = texts.indices.map { row in
                texts[row].indices.map { column in
                    let interval = matrix.intervals.isEmpty ? nil : matrix.intervals[row][column]
                    return texts[row][column]
                        + (interval.map {
                            ", 95 % \(matrix.kind.text(.number($0.lowerBound))) to \(matrix.kind.text(.number($0.upperBound)))"
                        }
                            ?? "")
                }
            }
            reach = matrix.scale.reach(of: matrix.values.joined())
            rowTitles = matrix.rows.cut(to: 28)
            columnTitles = matrix.columns.cut(to: 20)
            left = (rowTitles + [matrix.title.cut(to: 28)]).map { $0.drawnWidth() }.max()! + 12
            let figure =
                texts.joined().map { $0.drawnWidth(Self.figureSizes[0].size) }.max()! + Self.figureSizes[0].room
            let room = (Picture.width - left - 40) / Double(matrix.columns.count)
            let width = min(max(room, 9), max(64, figure))
            // A little wider when the titles then stand upright.
            let widest = columnTitles.map { $0.drawnWidth() }.max()! + 10
            let isUpright = widest <= min(room, 110)
            cell = (isUpright ? max(width, widest) : width, min(max(width * 0.55, 14), 36))
            turnsTitles = !isUpright
            figureSize =
                Self.figureSizes.first { [cell, texts] in
                    let (size, room) = $0
                    return cell.height >= 16 && texts.joined().allSatisfy { $0.drawnWidth(size) + room <= cell.width }
                }?.size
            // Titles are turned by 40 degrees.
            top = Self.scaleHeight + (isUpright ? 26 : widest * 0.65 + 16)
        }

        var width: Double {
            // The last of the turned titles leans over the right side.
            let leaning = turnsTitles ? (columnTitles.last?.drawnWidth() ?? 0) * 0.77 : 0
            return max(left + Double(matrix.columns.count) * cell.width + max(leaning - cell.width / 2, 0) + 2, 300)
        }
        var height: Double { top + Double(matrix.rows.count) * cell.height + 2 }
        var description: String {
            "Heat map of \(matrix.rows.count) rows and \(matrix.columns.count) columns, \(matrix.title)."
        }

        func draw(in svg: inout Markup) {
            drawScale(in: &svg)
            drawTitles(in: &svg)
            svg.add("g", ["class": "cells"]) { svg in
                for (row, values) in matrix.values.enumerated() {
                    for (column, value) in values.enumerated() { draw(value, row, column, in: &svg) }
                }
            }
            svg.add(
                "rect",
                [
                    "class": "frame", "x": .init(left), "y": .init(top),
                    "width": .init(Double(matrix.columns.count) * cell.width),
                    "height": .init(Double(matrix.rows.count) * cell.height),
                ])
        }

        private func draw(_ value: Double, _ row: Int, _ column: Int, in svg: inout Markup) {
            let (x, y) = (left + Double(column) * cell.width, top + Double(row) * cell.height)
            let figure = texts[row][column]
            svg.add("g", ["class": .init(style(value))]) { svg in
                svg.add(
                    "title",
                    "\(matrix.rows[row].cut(to: 80)), \(matrix.columns[column].cut(to: 80)): \(remarks[row][column])")
                svg.add(
                    "rect",
                    ["x": .init(x), "y": .init(y), "width": .init(cell.width), "height": .init(cell.height)])
                if value.isNaN {
                    // Hatched.
                    let size = min(cell.width, cell.height)
                    svg.add(
                        "path",
                        [
                            "d": .init(
                                "M\(x.length) \((y + size).length)l\(size.length) -\(size.length)"
                                    + "M\((x + cell.width - size).length) \((y + cell.height).length)"
                                    + "l\(size.length) -\(size.length)")
                        ])
                } else if let figureSize {
                    svg.add(
                        "text",
                        [
                            "class": figureSize < Self.figureSizes[0].size ? "small" : nil,
                            "x": .init(x + cell.width / 2), "y": .init(y + cell.height / 2 + 4),
                        ], figure)
                }
            }
        }

        /// The class of a cell's colour: a step of the scale.
        private func style(_ value: Double) -> String {
            if value.isNaN { return "none" }
            let share = matrix.scale.share(value, of: reach) ?? (value.isInfinite ? (value < 0 ? -1 : 1) : 0)
            switch matrix.scale {
            case .sequential: return "q\(Int((max(share, 0) * Double(Palette.sequentialCount - 1)).rounded()))"
            case .diverging, .around:
                return "d\(Int(((share + 1) / 2 * Double(Palette.divergingCount - 1)).rounded()))"
            }
        }

        private func drawTitles(in svg: inout Markup) {
            svg.add(
                "text", ["class": "muted end", "x": .init(left - 8), "y": .init(top - 10)], matrix.title.cut(to: 28))
            for (row, title) in rowTitles.enumerated() {
                let y = top + (Double(row) + 0.5) * cell.height + 4
                svg.add("g") { svg in
                    svg.add("title", matrix.rows[row])
                    svg.add("text", ["class": "end", "x": .init(left - 8), "y": .init(y)], title)
                }
            }
            for (column, title) in columnTitles.enumerated() {
                let (x, y) = (left + (Double(column) + 0.5) * cell.width, top - 10)
                svg.add("g") { svg in
                    svg.add("title", matrix.columns[column])
                    if turnsTitles {
                        svg.add("text", ["transform": "translate(\((x + 4).length) \(y.length)) rotate(-40)"], title)
                    } else {
                        svg.add("text", ["class": "middle", "x": .init(x), "y": .init(y)], title)
                    }
                }
            }
        }

        /// A strip of the scale's colours above the picture, with the figures at its ends, and behind them what is in the middle.
        private func drawScale(in svg: inout Markup) {
            let isDiverging = matrix.scale != .sequential
            let count = isDiverging ? Palette.divergingCount : Palette.sequentialCount
            func text(_ figure: Double) -> String { matrix.kind.text(.number(figure)) }
            let middle = matrix.scale.middle
            let step = 8.0
            let start = text(isDiverging ? middle - reach : 0)
            var end = text(middle + reach)
            if case .around(_, let name) = matrix.scale { end += " (in the middle \(name), \(text(middle)))" }
            let left = start.drawnWidth() + 8
            svg.add("text", ["class": "muted", "y": 13], start)
            for number in 0..<count {
                svg.add("g", ["class": "\(isDiverging ? "d" : "q")\(number)"]) { svg in
                    svg.add(
                        "rect",
                        ["x": .init(left + Double(number) * step), "y": 2, "width": .init(step), "height": 13])
                }
            }
            svg.add(
                "rect",
                ["class": "frame", "x": .init(left), "y": 2, "width": .init(Double(count) * step), "height": 13])
            svg.add("text", ["class": "muted", "x": .init(left + Double(count) * step + 8), "y": 13], end)
        }
    }
}
