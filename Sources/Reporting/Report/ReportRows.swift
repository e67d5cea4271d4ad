extension Report {
    /// The rows of a table. Those of a long one are made when they are asked for, so that they never take memory all at once.
    public struct Rows: RandomAccessCollection, Sendable {
        public let count: Int
        private let row: @Sendable (Int) -> [Value]

        /// Rows that are there.
        public init(_ rows: [[Value]]) { self.init(of: rows) { $0 } }

        /// A row for each of several things.
        public init<Item: Sendable>(of items: [Item], _ row: @escaping @Sendable (Item) -> [Value]) {
            count = items.count
            self.row = { row(items[$0]) }
        }

        public var startIndex: Int { 0 }
        public var endIndex: Int { count }
        public subscript(place: Int) -> [Value] { row(place) }
    }
}

extension Report.Rows: Hashable {
    public static func == (a: Self, b: Self) -> Bool { a.elementsEqual(b) }
    public func hash(into hasher: inout Hasher) { for row in self { hasher.combine(row) } }
}
