import SystemPackage
import TensorCore

/// Takes fields from the untrusted head of a GGUF file one after the other; every request is checked against what is left.
struct GGUFFields {
    private let bytes: UnsafeRawBufferPointer
    private let file: FilePath?
    private(set) var position = 0

    /// Arrays in arrays beyond this depth are refused.
    static let depthLimit = 4
    /// The largest head that is read, as large as that of a safetensors file may be: the vocabularies of large models take 20 MB.
    static let byteLimit = 100_000_000

    init(_ bytes: UnsafeRawBufferPointer, of file: FilePath? = nil) {
        self.bytes = bytes
        self.file = file
    }

    var remainingByteCount: Int { bytes.count - position }

    func fault(
        _ category: FormatCategory, _ message: String, at offset: Int? = nil, tensor: TensorName? = nil,
        hint: String? = nil
    ) -> FormatError {
        FormatError(category, message, file: file, tensor: tensor, byteOffset: offset ?? position, hint: hint)
    }

    mutating func take<T: FixedWidthInteger>(_ type: T.Type) throws(FormatError) -> T {
        let field = try take(byteCount: MemoryLayout<T>.size)
        return T(littleEndian: field.loadUnaligned(as: T.self))
    }

    private mutating func take(byteCount: some BinaryInteger) throws(FormatError) -> UnsafeRawBufferPointer {
        guard let count = Int(exactly: byteCount), count <= remainingByteCount else {
            throw fault(
                .truncated, "a field of \(byteCount) bytes is stated but \(remainingByteCount) bytes are left",
                hint: "the file is probably cut short; compare its size with the source")
        }
        guard count <= Self.byteLimit - position else {
            throw fault(.limitExceeded, "the head of the file is larger than the \(Self.byteLimit) bytes that are read")
        }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }

    /// Takes a string: 8 bytes of length, and UTF-8.
    mutating func takeString() throws(FormatError) -> String {
        let field = try take(byteCount: take(UInt64.self))
        guard let text = field.validatedText else {
            throw fault(.invalidUTF8, "a string of \(field.count) bytes is not UTF-8", at: position - field.count)
        }
        return text
    }

    /// Takes the number of a kind of value.
    mutating func takeKind() throws(FormatError) -> GGUFValue.Kind {
        let number = try take(UInt32.self)
        guard let kind = GGUFValue.Kind(rawValue: number) else {
            throw fault(.badKVType, "\(number) is no type of a value", at: position - 4)
        }
        return kind
    }

    /// Takes a value of a kind.
    mutating func takeValue(of kind: GGUFValue.Kind, depth: Int = 0) throws(FormatError) -> GGUFValue {
        switch kind {
        case .uint8: return .uint8(try take(UInt8.self))
        case .int8: return .int8(try take(Int8.self))
        case .uint16: return .uint16(try take(UInt16.self))
        case .int16: return .int16(try take(Int16.self))
        case .uint32: return .uint32(try take(UInt32.self))
        case .int32: return .int32(try take(Int32.self))
        case .uint64: return .uint64(try take(UInt64.self))
        case .int64: return .int64(try take(Int64.self))
        case .float32: return .float32(Float(bitPattern: try take(UInt32.self)))
        case .float64: return .float64(Double(bitPattern: try take(UInt64.self)))
        case .bool:
            let byte = try take(UInt8.self)
            guard byte <= 1 else {
                throw fault(.badValue, "a truth value is \(byte), neither 0 nor 1", at: position - 1)
            }
            return .bool(byte == 1)
        case .string: return .string(try takeString())
        case .array: return .array(try takeArray(depth: depth + 1))
        }
    }

    /// Takes an array: 4 bytes of the kind, 8 bytes of the count, and the elements.
    private mutating func takeArray(depth: Int) throws(FormatError) -> GGUFArray {
        guard depth <= Self.depthLimit else {
            throw fault(.nestingTooDeep, "arrays lie in each other, more than \(Self.depthLimit) deep")
        }
        let kind = try takeKind()
        let claimed = try take(UInt64.self)
        guard let count = Int(exactly: claimed),
            case (let byteCount, false) = count.multipliedReportingOverflow(by: kind.leastByteCount)
        else {
            throw fault(
                .overflow, "an array of \(claimed) elements is larger than 64 bits can count", at: position - 8)
        }
        guard byteCount <= Self.byteLimit else {
            throw fault(
                .limitExceeded,
                "an array states \(count) elements, which take at least \(byteCount) bytes; at most "
                    + "\(Self.byteLimit) are read", at: position - 8)
        }
        let start = position
        if kind.isNumber {
            _ = try take(byteCount: byteCount)
        } else {
            for _ in 0..<count { _ = try takeValue(of: kind, depth: depth) }
        }
        return GGUFArray(kind: kind, count: count, checkedContent: Array(bytes[start..<position]))
    }
}
