extension Report {
    /// One figure of a series: a curve of it for each name.
    struct SeriesFigure {
        let title: String
        let kind: Kind
        let axis: Column
        let name: Column
        let isLogarithmic: Bool
        private(set) var curves: [Curve] = []

        struct Curve {
            let name: String
            var points: [(x: Double, y: Double)] = []
        }

        /// The figures of a series that have a title.
        static func figures(of series: Series) -> [SeriesFigure] {
            series.table.columns.indices.dropFirst(2).compactMap { SeriesFigure(series, at: $0) }
        }

        private init?(_ series: Series, at place: Int) {
            let columns = series.table.columns
            guard let title = columns[place].title else { return nil }
            (self.title, kind, name, axis) = (title, columns[place].kind, columns[0], columns[1])
            isLogarithmic = series.isLogarithmic
            for row in series.table.rows {
                guard let x = row[1].figure, x.isFinite else { continue }
                let name = columns[0].kind.text(row[0])
                if curves.last?.name != name { curves.append(Curve(name: name)) }
                curves[curves.count - 1].points.append((x, row[place].figure ?? .nan))
            }
        }

        /// What people see above it.
        func caption(of series: Series) -> String {
            let own = "\(title.capitalized) by \(axis.title ?? "place")"
            return series.caption.map { series.table.columns.count > 3 ? "\($0): \(title)" : $0 } ?? own
        }

        /// The most rows of a table.
        static let mostRows = 60

        /// A row for every place on the axis and a column for every curve; of many places some, from the first to the last.
        var table: (table: Table, placeCount: Int) {
            var places: Set<Double> = []
            for curve in curves { places.formUnion(curve.points.map(\.x)) }
            let all = places.sorted()
            let count = min(all.count, Self.mostRows)
            let chosen = (0..<count).map { count < all.count ? all[$0 * (all.count - 1) / (count - 1)] : all[$0] }
            let figures = curves.map { Dictionary($0.points.map { ($0.x, $0.y) }, uniquingKeysWith: { $1 }) }
            let titles = curves.map { Column(nil, $0.name, kind) }
            return (
                Table(
                    nil, [Column(nil, axis.title ?? "", axis.kind == .text ? .number : axis.kind)] + titles,
                    rows: chosen.map { x in [.number(x)] + figures.map { $0[x].map(Value.number) ?? .none } }),
                all.count
            )
        }
    }
}
