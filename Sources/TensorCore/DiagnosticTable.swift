/// What belongs to an error and does not fit its line: rows that are shown as a table before it.
public struct DiagnosticTable: Sendable, Hashable {
    /// The titles; lower-case words that are also keys in JSON.
    public let columns: [String]
    /// As many cells as there are columns.
    public private(set) var rows: [[String]]

    public init(columns: [String], rows: [[String]]) {
        self.columns = columns
        self.rows = rows
    }

    /// Adds rows at the end.
    public mutating func append(_ more: [[String]]) { rows += more }
}
