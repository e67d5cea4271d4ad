extension Report {
    /// Figures between named things, drawn as a heat map.
    public struct Matrix: Sendable, Hashable {
        /// Documents leave out what has none.
        public var key: String?
        /// What rows and columns are, such as `on \\ from`.
        public var title: String
        public var kind: Kind
        public var rows: [String]
        public var columns: [String]
        /// In rows; NaN where there is no figure.
        public var values: [[Double]]
        /// What the values lie in, where that is known: empty, or of the same shape.
        public var intervals: [[ClosedRange<Double>?]] = []
        /// Which colours figures have.
        public var scale: Scale
        /// What people see above it.
        public var caption: String?
        /// Whether a terminal leaves it out, because its figures would only repeat others.
        public var isForPages = false

        public init(
            _ key: String?, title: String, kind: Kind, rows: [String], columns: [String], values: [[Double]],
            scale: Scale = .sequential, caption: String? = nil
        ) {
            self.key = key
            self.title = title
            self.kind = kind
            self.rows = rows
            self.columns = columns
            self.values = values
            self.scale = scale
            self.caption = caption
        }
    }

    /// How figures become colours or lengths.
    public enum Scale: Sendable, Hashable {
        /// From 0 to the largest.
        case sequential
        /// Symmetric about 0, up to the largest magnitude.
        case diverging
        /// Symmetric about a figure that is neither much nor little, such as what chance makes, up to the largest distance from it.
        case around(Double, String)

        /// What has neither of the colours.
        var middle: Double {
            switch self {
            case .sequential, .diverging: 0
            case .around(let middle, _): middle
            }
        }

        /// The largest distance from the middle of what is finite; 0 where nothing is.
        func reach(of figures: some Sequence<Double>) -> Double {
            figures.lazy.map { abs($0 - middle) }.filter(\.isFinite).max() ?? 0
        }

        /// The place of a figure from -1 to 1, given the reach; nil for what is no number, or where nothing is away from the middle.
        func share(_ figure: Double, of reach: Double) -> Double? {
            figure.isNaN || reach == 0 ? nil : min(max((figure - middle) / reach, -1), 1)
        }
    }

    /// Figures along an axis, such as losses along steps, of one or several things. Documents have them as a table, pages as
    /// curves; a terminal shows none.
    public struct Series: Sendable, Hashable {
        /// Of the name of each thing, of its places on the axis, and of the figures there.
        public var table: Table
        /// Whether equal ratios are equal lengths along the vertical axis.
        public var isLogarithmic = false
        /// What people see above it.
        public var caption: String?

        /// Makes a series of rows: a name, a number along the axis, and figures.
        ///
        /// - Precondition: rows of one name stand together.
        public init(_ key: String?, name: Column, axis: Column, figures: [Column], rows: [[Value]]) {
            table = Table(key, [name, axis] + figures, rows: rows)
        }
    }

    /// Figures of named things side by side, drawn as bars.
    public struct Bars: Sendable, Hashable {
        /// What people see above it.
        public var caption: String
        /// What the things are: `layer`.
        public var title: String
        public var labels: [String]
        public var kind: Kind
        /// A bar of each of these stands at every label.
        public var groups: [Group]
        /// Whether a terminal leaves it out, because its figures stand in a table above or are many.
        public var isForPages = true

        public struct Group: Sendable, Hashable {
            public var name: String
            /// As many as there are labels.
            public var values: [Double?]
            /// What the values lie in, where that is known: empty, or as many as there are labels.
            public var intervals: [ClosedRange<Double>?]

            public init(_ name: String, _ values: [Double?], intervals: [ClosedRange<Double>?] = []) {
                self.name = name
                self.values = values
                self.intervals = intervals
            }
        }

        public init(_ caption: String, title: String, labels: [String], kind: Kind, groups: [Group]) {
            self.caption = caption
            self.title = title
            self.labels = labels
            self.kind = kind
            self.groups = groups
        }
    }

    /// Named points between two axes.
    public struct Scatter: Sendable, Hashable {
        /// What people see above it.
        public var caption: String
        /// What the points are: `merge`.
        public var title: String
        /// The titles and kinds of the axes.
        public var x: Column
        public var y: Column
        public var points: [Point]

        public struct Point: Sendable, Hashable {
            public var name: String
            /// Points of a group have one colour.
            public var group: String
            public var x: Double
            public var y: Double
            /// What y lies in, where that is known.
            public var interval: ClosedRange<Double>?

            public init(_ name: String, group: String, x: Double, y: Double, interval: ClosedRange<Double>? = nil) {
                self.name = name
                self.group = group
                self.x = x
                self.y = y
                self.interval = interval
            }
        }

        public init(_ caption: String, title: String, x: Column, y: Column, points: [Point]) {
            self.caption = caption
            self.title = title
            self.x = x
            self.y = y
            self.points = points
        }
    }
}
