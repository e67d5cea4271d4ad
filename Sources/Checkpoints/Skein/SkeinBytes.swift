/// Bytes of a record under construction, little-endian.
struct SkeinBytes {
    private(set) var content: [UInt8] = []

    mutating func append<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { content.append(contentsOf: $0) }
    }

    mutating func append(_ bytes: some Sequence<UInt8>) { content.append(contentsOf: bytes) }
}

/// Takes fields from untrusted bytes one after the other; every request is checked against what is left.
struct SkeinFields {
    private let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    /// A field reaches beyond the end.
    struct Exhausted: Error {
        let position: Int
    }

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var remainingByteCount: Int { bytes.count - position }

    mutating func take<T: FixedWidthInteger>(_ type: T.Type) throws(Exhausted) -> T {
        let field = try take(byteCount: MemoryLayout<T>.size)
        return T(littleEndian: field.loadUnaligned(as: T.self))
    }

    mutating func take(byteCount: some BinaryInteger) throws(Exhausted) -> UnsafeRawBufferPointer {
        guard let byteCount = Int(exactly: byteCount), byteCount >= 0, byteCount <= remainingByteCount else {
            throw Exhausted(position: position)
        }
        defer { position += byteCount }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + byteCount])
    }
}

extension UnsafeRawBufferPointer {
    /// A fixed-width field.
    ///
    /// - Precondition: it lies inside the buffer.
    func littleEndian<T: FixedWidthInteger>(_ type: T.Type, at offset: Int) -> T {
        T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// The bytes as text; nil when they are no UTF-8.
    var validatedText: String? { String(validating: self, as: UTF8.self) }
}
