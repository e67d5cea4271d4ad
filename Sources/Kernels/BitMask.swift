/// The eight bits of every byte, the lowest first.
@usableFromInline let bitsOfBytes: [UInt32] = (UInt32(0)...255).flatMap { byte in (UInt32(0)..<8).map { byte >> $0 & 1 }
}

/// Clears the elements whose bit is 0.
///
/// Bytes of bits are looked up: a shift by an element's own place would keep the loop from being vectorised.
///
/// - Parameters:
///   - bits: the lowest bit of the first byte comes first.
///   - first: the place of the first element's bit.
@inlinable
public func keep<T: ElementwiseScalar>(
    _ x: UnsafeMutablePointer<T>, whereSet bits: UnsafePointer<UInt8>, from first: Int, count: Int
) {
    bitsOfBytes.withUnsafeBufferPointer { table in
        let table = table.baseAddress!
        var i = 0
        while i < count {
            let place = first &+ i
            let row = table + 8 &* Int(bits[place >> 3])
            if place & 7 == 0, i &+ 8 <= count {
                for k in 0..<8 { x[i &+ k] = x[i &+ k].masked(by: row[k]) }
                i &+= 8
            } else {
                x[i] = x[i].masked(by: row[place & 7])
                i &+= 1
            }
        }
    }
}
