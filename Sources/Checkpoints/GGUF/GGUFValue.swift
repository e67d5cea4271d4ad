/// A typed value of the metadata of a GGUF file.
public enum GGUFValue: Sendable, Hashable {
    case uint8(UInt8)
    case int8(Int8)
    case uint16(UInt16)
    case int16(Int16)
    case uint32(UInt32)
    case int32(Int32)
    case float32(Float)
    case bool(Bool)
    case string(String)
    case array(GGUFArray)
    case uint64(UInt64)
    case int64(Int64)
    case float64(Double)

    /// The kinds of values with their numbers in the file.
    public enum Kind: UInt32, Sendable, CaseIterable {
        case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

        /// The fewest bytes that a value takes.
        var leastByteCount: Int {
            switch self {
            case .uint8, .int8, .bool: 1
            case .uint16, .int16: 2
            case .uint32, .int32, .float32: 4
            case .uint64, .int64, .float64: 8
            case .string: 8
            case .array: 12
            }
        }

        /// Whether every pattern of that many bytes is a value.
        var isNumber: Bool { self != .bool && self != .string && self != .array }
    }

    public var kind: Kind {
        switch self {
        case .uint8: .uint8
        case .int8: .int8
        case .uint16: .uint16
        case .int16: .int16
        case .uint32: .uint32
        case .int32: .int32
        case .float32: .float32
        case .bool: .bool
        case .string: .string
        case .array: .array
        case .uint64: .uint64
        case .int64: .int64
        case .float64: .float64
        }
    }

    /// The text of a string; nil for other kinds.
    public var string: String? { if case .string(let text) = self { text } else { nil } }

    /// A whole number of any kind; nil for other values and for those that `Int` cannot hold.
    public var integer: Int? {
        switch self {
        case .uint8(let number): Int(number)
        case .int8(let number): Int(number)
        case .uint16(let number): Int(number)
        case .int16(let number): Int(number)
        case .uint32(let number): Int(number)
        case .int32(let number): Int(number)
        case .uint64(let number): Int(exactly: number)
        case .int64(let number): Int(number)
        default: nil
        }
    }
}

extension GGUFValue: CustomStringConvertible {
    /// The value as people read it; of a long array the first elements and the count.
    public var description: String {
        switch self {
        case .uint8(let number): "\(number)"
        case .int8(let number): "\(number)"
        case .uint16(let number): "\(number)"
        case .int16(let number): "\(number)"
        case .uint32(let number): "\(number)"
        case .int32(let number): "\(number)"
        case .float32(let number): "\(number)"
        case .bool(let truth): "\(truth)"
        case .string(let text): text
        case .array(let array): array.description
        case .uint64(let number): "\(number)"
        case .int64(let number): "\(number)"
        case .float64(let number): "\(number)"
        }
    }
}

extension GGUFValue {
    /// Reads a text as a value of a kind; nil when it is none, such as a number beyond the kind's range, and for arrays.
    public init?(_ text: String, as kind: Kind) {
        let value: GGUFValue? =
            switch kind {
            case .uint8: UInt8(text).map(GGUFValue.uint8)
            case .int8: Int8(text).map(GGUFValue.int8)
            case .uint16: UInt16(text).map(GGUFValue.uint16)
            case .int16: Int16(text).map(GGUFValue.int16)
            case .uint32: UInt32(text).map(GGUFValue.uint32)
            case .int32: Int32(text).map(GGUFValue.int32)
            case .uint64: UInt64(text).map(GGUFValue.uint64)
            case .int64: Int64(text).map(GGUFValue.int64)
            case .float32: Self.number(text).map(GGUFValue.float32)
            case .float64: Self.number(text).map(GGUFValue.float64)
            case .bool: Bool(text).map(GGUFValue.bool)
            case .string: .string(text)
            case .array: nil
            }
        guard let value else { return nil }
        self = value
    }

    /// A number that is infinite only where the text says so, by a word, and zero only where all its digits are.
    private static func number<T: BinaryFloatingPoint & LosslessStringConvertible>(_ text: String) -> T? {
        guard let number = T(text) else { return nil }
        let digits = text.prefix { $0 != "e" && $0 != "E" && $0 != "p" && $0 != "P" }
        if number.isInfinite, digits.contains(where: \.isNumber) { return nil }
        return number.isZero && digits.contains(where: { $0 != "0" && $0.isHexDigit }) ? nil : number
    }
}
