import Foundation

/// A parsed JSON document, read by Foundation: not by code of ours.
struct JSONValue: CustomStringConvertible {
    private let value: Any?

    init(parsing text: String) throws {
        value = try JSONSerialization.jsonObject(with: Data(text.utf8), options: [.fragmentsAllowed])
    }

    private init(_ value: Any?) { self.value = value }

    subscript(key: String) -> JSONValue { JSONValue((value as? [String: Any])?[key]) }
    subscript(index: Int) -> JSONValue {
        let items = value as? [Any] ?? []
        return JSONValue(items.indices.contains(index) ? items[index] : nil)
    }

    var keys: Set<String> { Set((value as? [String: Any] ?? [:]).keys) }
    var count: Int? { (value as? [Any])?.count }
    var items: [JSONValue] { (value as? [Any] ?? []).map { JSONValue($0) } }
    var string: String? { value as? String }
    var int: Int? { (value as? NSNumber)?.intValue }
    var double: Double? { (value as? NSNumber)?.doubleValue }
    var bool: Bool? { value as? Bool }
    var isNull: Bool { value is NSNull }
    var description: String { value.map { "\($0)" } ?? "missing" }
}
