extension Report {
    /// One value, of which a column's or matrix's kind says how people read it.
    public enum Value: Sendable, Hashable {
        /// Not known: null in JSON.
        case none
        /// Not asked for or without a meaning here: JSON leaves out the key, too.
        case absent
        case text(String)
        case flag(Bool)
        case integer(Int)
        case number(Double)
        /// What something was at first and in the end.
        case change(first: Double, last: Double)
        case list([Value])
        /// For documents only.
        indirect case table(Table)
        /// For documents only: values by their names.
        case facts([Fact])

        public init(_ text: String?) { self = text.map(Value.text) ?? .none }
        public init(_ integer: Int?) { self = integer.map(Value.integer) ?? .none }
        public init(_ number: Double?) { self = number.map(Value.number) ?? .none }

        /// What gauges and pictures show of it.
        var figure: Double? {
            switch self {
            case .integer(let count): Double(count)
            case .number(let number): number
            default: nil
            }
        }

        /// A list of texts.
        public static func texts(_ texts: some Sequence<String>) -> Value { .list(texts.map(Value.text)) }
        /// A list of numbers.
        public static func numbers(_ numbers: some Sequence<Double>) -> Value { .list(numbers.map(Value.number)) }
        /// Both ends of an interval; documents leave out one that is not known.
        public static func interval(_ interval: ClosedRange<Double>?) -> Value {
            interval.map { .numbers([$0.lowerBound, $0.upperBound]) } ?? .absent
        }
        /// A list of whole numbers, such as a shape.
        public static func integers(_ integers: some Sequence<Int>) -> Value { .list(integers.map(Value.integer)) }
    }

    /// What values are, and so their unit and what of them is worth showing to people. Documents have them as they are.
    public enum Kind: Sendable, Hashable {
        case text
        case count
        case bytes
        /// Lengths of dimensions in brackets.
        case shape
        /// Two texts or shapes, as a change where they differ.
        case pair
        /// From 0 to 1, shown in percent.
        case share
        /// Four significant digits.
        case number
        case decimals(Int)
        case seconds
        /// From a first to a last number, with so many decimals.
        case change(decimals: Int)

        var alignment: Reporting.Table.Alignment { [.text, .shape, .pair].contains(self) ? .left : .right }

        /// A value as people read it.
        func text(_ value: Value) -> String {
            switch value {
            case .none, .absent: "-"
            case .text(let text): text
            case .flag(let flag): flag ? "yes" : "no"
            case .integer(let length) where self == .shape: "\(length)"
            case .integer(let count): self == .bytes ? "\(ByteSize(count))" : count.grouped
            case .number(let number): text(number)
            case .change(let first, let last): "\(text(first)) -> \(text(last))"
            case .list(let lengths) where self == .shape: "[\(lengths.map(text).joined(separator: ", "))]"
            case .list(let values) where self == .pair:
                values[0] == values[1] ? part(values[0]) : values.map(part).joined(separator: " -> ")
            case .list(let values): values.map(text).joined(separator: ", ")
            case .table, .facts: ""
            }
        }

        /// One of a pair.
        private func part(_ value: Value) -> String {
            if case .list = value { Kind.shape.text(value) } else { text(value) }
        }

        private func text(_ number: Double) -> String {
            switch self {
            case .share: number.percent
            case .decimals(let count), .change(let count): number.decimals(count)
            case .seconds where abs(number) < 1e15: Duration.seconds(number).readable
            case .text, .count, .bytes, .shape, .pair, .number, .seconds: number.short()
            }
        }
    }
}
