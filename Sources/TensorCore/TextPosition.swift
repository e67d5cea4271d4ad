/// A place in a text.
public struct TextPosition: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Counted from 1.
    public let line: Int
    /// Counted from 1, in Unicode scalars.
    public let column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    public static func < (a: TextPosition, b: TextPosition) -> Bool { (a.line, a.column) < (b.line, b.column) }

    /// In words: `line 3, column 7`.
    public var description: String { "line \(line), column \(column)" }
}
