/// The CRC-32 of zip: ISO 3309, reflected polynomial 0xEDB88320, all bits set before and inverted after.
///
/// Sixteen bytes at a step through sixteen tables (Kounavis and Berry 2005, "slicing"). `combine` joins the sums of
/// neighbouring pieces, so that pieces may be summed in any order and on any thread.
package struct CRC32: Sendable {
    private var state: UInt32 = 0xFFFF_FFFF

    package init() {}

    /// The sum of all bytes so far.
    package var value: UInt32 { ~state }

    /// The sum of one run of bytes.
    package static func of(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var sum = CRC32()
        sum.update(bytes)
        return sum.value
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        let crc = state
        state = Self.tables.withUnsafeBufferPointer { tables in
            Self.advance(crc, over: start, count: bytes.count, tables.baseAddress!)
        }
    }

    private static func advance(
        _ crc: UInt32, over start: UnsafeRawPointer, count: Int, _ table: UnsafePointer<UInt32>
    ) -> UInt32 {
        // Safety: reads `count` bytes from `start`; table indices are a byte plus at most 15 * 256.
        var crc = crc
        var position = 0
        while position &+ 16 <= count {
            let source = start + position
            let a = UInt32(littleEndian: source.loadUnaligned(as: UInt32.self)) ^ crc
            let b = UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            let c = UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
            let d = UInt32(littleEndian: source.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
            let high = fold(a, table + 12 * 256) ^ fold(b, table + 8 * 256)
            let low = fold(c, table + 4 * 256) ^ fold(d, table)
            crc = high ^ low
            position &+= 16
        }
        while position < count {
            let byte = start.load(fromByteOffset: position, as: UInt8.self)
            crc = (crc >> 8) ^ table[Int(truncatingIfNeeded: (crc ^ UInt32(byte)) & 0xFF)]
            position &+= 1
        }
        return crc
    }

    /// Four bytes through four neighbouring tables; the first byte has the longest way to go.
    @inline(__always)
    private static func fold(_ word: UInt32, _ table: UnsafePointer<UInt32>) -> UInt32 {
        let first = table[768 &+ Int(truncatingIfNeeded: word & 0xFF)]
        let second = table[512 &+ Int(truncatingIfNeeded: (word >> 8) & 0xFF)]
        let third = table[256 &+ Int(truncatingIfNeeded: (word >> 16) & 0xFF)]
        let fourth = table[Int(truncatingIfNeeded: word >> 24)]
        return (first ^ second) ^ (third ^ fourth)
    }

    private static let polynomial: UInt32 = 0xEDB8_8320

    /// Table `k` advances a byte over `k` further zero bytes.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 16 * 256)
        for byte in 0..<256 {
            var crc = UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ polynomial : crc >> 1 }
            tables[byte] = crc
        }
        for index in 256..<tables.count {
            let previous = tables[index - 256]
            tables[index] = (previous >> 8) ^ tables[Int(previous & 0xFF)]
        }
        return tables
    }()
}

extension CRC32 {
    /// The sum of two neighbouring pieces from their sums: `first * x^(8 * count) + second` modulo the polynomial.
    ///
    /// - Parameter count: the number of bytes of the second piece.
    /// - Cost: at most 64 products of 32 steps.
    package static func combine(_ first: UInt32, _ second: UInt32, count: Int) -> UInt32 {
        product(power(ofByteCount: count), first) ^ second
    }

    /// `x^(8 * count)`, by squaring.
    private static func power(ofByteCount count: Int) -> UInt32 {
        var result: UInt32 = 1 << 31
        var remaining = count
        // x^(2^k) has period 32 in k, because x^(2^32) = x for this polynomial of degree 32.
        var index = 3
        while remaining > 0 {
            if remaining & 1 == 1 { result = product(squares[index & 31], result) }
            remaining >>= 1
            index += 1
        }
        return result
    }

    /// The product of two polynomials, bit 31 being the constant term.
    private static func product(_ a: UInt32, _ b: UInt32) -> UInt32 {
        var result: UInt32 = 0
        var b = b
        var mask: UInt32 = 1 << 31
        while mask != 0 {
            if a & mask != 0 { result ^= b }
            b = b & 1 == 1 ? (b >> 1) ^ polynomial : b >> 1
            mask >>= 1
        }
        return result
    }

    /// Entry `k` is `x^(2^k)`.
    private static let squares: [UInt32] = {
        var squares: [UInt32] = [1 << 30]
        for _ in 1..<32 { squares.append(product(squares[squares.count - 1], squares[squares.count - 1])) }
        return squares
    }()
}
