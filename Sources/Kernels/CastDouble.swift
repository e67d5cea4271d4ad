// Conversions from F64.

/// Rounds to nearest even.
func roundF64ToF32(_ source: UnsafeRawPointer, count: Int, to destination: UnsafeMutableRawPointer) -> CastLosses {
    var (overflowCount, underflowCount) = (0, 0)
    for i in 0..<count {
        let value = source.loadUnaligned(fromByteOffset: 8 &* i, as: Double.self)
        let rounded = Float(value)
        destination.storeBytes(of: rounded, toByteOffset: 4 &* i, as: Float.self)
        overflowCount &+= Int(rounded.nonFiniteBit &- value.nonFiniteBit)
        underflowCount &+= Int(rounded.zeroBit &- value.zeroBit)
    }
    return CastLosses(overflowCount: overflowCount, underflowCount: underflowCount)
}

/// Rounds to the neighbour in F32 whose last bit is odd when the value is not exact.
///
/// A second rounding to a narrower type then gives what a single rounding of the F64 value would: the odd bit remembers on which
/// side of a tie the value was, and that it was not zero. F32 has at least two bits more than any of them over their whole range, as
/// that needs.
/// Source: Boldo and Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd",
/// IEEE Transactions on Computers 57(4), 2008.
func roundF64ToOdd(_ source: UnsafeRawPointer, count: Int, to destination: UnsafeMutablePointer<Float>) {
    for i in 0..<count {
        let value = source.loadUnaligned(fromByteOffset: 8 &* i, as: Double.self)
        let nearest = Float(value)
        let back = abs(Double(nearest))
        let bits = nearest.bitPattern
        // Infinity for a large finite value counts as even and steps down to the largest finite number, which is odd.
        let other = back < abs(value) ? bits &+ 1 : bits &- 1
        let isExact = back == abs(value) || value != value
        destination[i] = Float(bitPattern: isExact || bits & 1 == 1 ? bits : other)
    }
}
