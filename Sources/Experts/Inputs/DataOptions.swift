import Work

/// How data that is no array is read.
public struct DataOptions: Sendable, Hashable, Encodable {
    /// Leaves out pictures and lines that cannot be read, and says how many; otherwise the first is an error.
    public var skipsBad: Bool
    /// The field of a line of JSON, or the column of a table with a heading, that holds the text; nil takes `text`.
    public var textField: String?

    /// What is not said stays as it is without options.
    public init(skipsBad: Bool = false, textField: String? = nil) {
        (self.skipsBad, self.textField) = (skipsBad, textField)
    }

    /// What one set of pictures may take in memory before it is read a batch at a time: a sixteenth of what is allowed, so that a set for
    /// each of eight tasks takes half of it.
    static func heldByteCount(in context: Context) -> Int { (context.memory ?? 16 << 30) / 16 }
}
