/// The head of a GGUF file under construction.
struct GGUFBytes {
    private(set) var content: [UInt8] = []

    mutating func append<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { content.append(contentsOf: $0) }
    }

    mutating func append(contentsOf bytes: some Sequence<UInt8>) { content.append(contentsOf: bytes) }

    mutating func append(_ text: String) {
        append(UInt64(text.utf8.count))
        content.append(contentsOf: text.utf8)
    }

    /// Appends a value without its kind.
    mutating func append(_ value: GGUFValue) {
        switch value {
        case .uint8(let number): append(number)
        case .int8(let number): append(number)
        case .uint16(let number): append(number)
        case .int16(let number): append(number)
        case .uint32(let number): append(number)
        case .int32(let number): append(number)
        case .float32(let number): append(number.bitPattern)
        case .bool(let truth): append(truth ? 1 : 0 as UInt8)
        case .string(let text): append(text)
        case .array(let array):
            append(array.kind.rawValue)
            append(UInt64(array.count))
            content.append(contentsOf: array.content)
        case .uint64(let number): append(number)
        case .int64(let number): append(number)
        case .float64(let number): append(number.bitPattern)
        }
    }

    /// Fills up with zeros to a multiple of an alignment.
    mutating func pad(to alignment: Int) {
        content.append(contentsOf: repeatElement(0, count: (alignment - content.count % alignment) % alignment))
    }
}
