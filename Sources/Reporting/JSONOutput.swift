/// A JSON document to be printed, with its keys in the order they were given.
///
/// NaN and the infinities, which JSON lacks, become the strings `"nan"`, `"inf"` and `"-inf"`. Finite numbers are the shortest
/// decimal that reads back as the same `Double`. Control characters of every kind are escaped, so that printing a document
/// never drives a terminal.
public enum JSONOutput: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSONOutput])
    case object([Member])
    /// An array with an object for each row of a table, which are made when they are written.
    indirect case rows(Report.Table)

    /// A key of an object with its value.
    public struct Member: Sendable, Equatable {
        public let key: String
        public let value: JSONOutput

        public init(_ key: String, _ value: JSONOutput) {
            self.key = key
            self.value = value
        }
    }

    /// The object with one more member at its end, or unchanged when `value` is nil: for keys that appear only when asked for.
    ///
    /// - Precondition: the value is an object.
    public func adding(_ key: String, _ value: JSONOutput?) -> JSONOutput {
        guard case .object(let members) = self else { preconditionFailure("members belong to an object") }
        guard let value else { return self }
        return .object(members + [Member(key, value)])
    }

    /// The object with the members of another behind its own.
    ///
    /// - Precondition: both are objects.
    public func adding(contentsOf other: JSONOutput) -> JSONOutput {
        guard case .object(let members) = self, case .object(let more) = other else {
            preconditionFailure("members belong to an object")
        }
        return .object(members + more)
    }
}

extension JSONOutput: ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral, ExpressibleByStringLiteral,
    ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral
{
    public init(dictionaryLiteral elements: (String, JSONOutput)...) {
        self = .object(elements.map { Member($0.0, $0.1) })
    }
    public init(arrayLiteral elements: JSONOutput...) { self = .array(elements) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .number(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(nilLiteral: ()) { self = .null }
}
