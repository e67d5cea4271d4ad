// Reductions in F64: eight sums side by side, added in a fixed order, so that a result depends on the numbers alone.
//
// Safety: every pointer is valid for `count` elements.

import CKernels

/// Σ x_i y_i
public func dotProduct(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) -> Double {
    var rest = 0.0
    for i in (count & ~7)..<count { rest += Double(x[i]) * Double(y[i]) }
    return eightSums { untangle_dot_product(x, y, count, $0) } + rest
}

/// Σ x_i²
public func sumOfSquares(_ x: UnsafePointer<Float>, count: Int) -> Double {
    var rest = 0.0
    for i in (count & ~7)..<count { rest += Double(x[i]) * Double(x[i]) }
    return eightSums { untangle_sum_of_squares(x, count, $0) } + rest
}

/// Σ x_i² of numbers stored as BF16, at any address, to seven digits.
///
/// - Returns: nil when squares may leave the range of F32, and for NaN and infinities.
public func sumOfSquares(bfloats bytes: UnsafeRawBufferPointer) -> Double? {
    sumOfSquares(bfloats: bytes) { untangle_sum_of_squares_bf16(bytes.baseAddress, bytes.count / 2, $0) }
}

/// Widens numbers stored as BF16, at any address, and sums up their squares as `sumOfSquares(bfloats:)` does.
///
/// - Precondition: `destination` has room for the numbers.
func widen(bfloats bytes: UnsafeRawBufferPointer, into destination: UnsafeMutablePointer<Float>) -> Double? {
    sumOfSquares(bfloats: bytes) {
        untangle_widen_and_square_bf16(bytes.baseAddress, bytes.count / 2, destination, $0)
    }
}

private func sumOfSquares(
    bfloats bytes: UnsafeRawBufferPointer, _ fill: (UnsafeMutablePointer<Double>) -> Void
) -> Double? {
    let count = bytes.count / 2
    guard count > 0 else { return 0 }
    var rest = 0.0
    for i in (count & ~15)..<count {
        let half = bytes.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
        let value = Double(Float(bitPattern: UInt32(half) << 16))
        rest += value * value
    }
    let sum = eightSums(fill) + rest
    // What squares lose below the normal numbers is no digit of this sum.
    return sum.isFinite && sum > Double(count) * 0x1p-100 ? sum : nil
}

private func eightSums(_ fill: (UnsafeMutablePointer<Double>) -> Void) -> Double {
    var sums = SIMD8<Double>()
    withUnsafeMutableBytes(of: &sums) { fill($0.baseAddress!.assumingMemoryBound(to: Double.self)) }
    return sums.sum()
}

/// Σ x_i
public func sum(_ x: UnsafePointer<Double>, count: Int) -> Double {
    var sums = SIMD8<Double>()
    let whole = count & ~7
    var i = 0
    while i < whole {
        sums += UnsafeRawPointer(x + i).loadUnaligned(as: SIMD8<Double>.self)
        i &+= 8
    }
    var rest = 0.0
    while i < count {
        rest += x[i]
        i &+= 1
    }
    return sums.sum() + rest
}

/// Σ (s x_i − s m)²
public func sumOfSquares(_ x: UnsafePointer<Double>, minus m: Double, scale s: Double, count: Int) -> Double {
    var sums = SIMD8<Double>()
    let origin = SIMD8(repeating: s * m)
    let factor = SIMD8(repeating: s)
    let whole = count & ~7
    var i = 0
    while i < whole {
        let difference = factor * UnsafeRawPointer(x + i).loadUnaligned(as: SIMD8<Double>.self) - origin
        sums += difference * difference
        i &+= 8
    }
    var rest = 0.0
    while i < count {
        let difference = s * x[i] - s * m
        rest += difference * difference
        i &+= 1
    }
    return sums.sum() + rest
}

/// The smallest and the largest number; infinities the wrong way round when there is none.
///
/// - Precondition: no number is NaN.
public func extremes(_ x: UnsafePointer<Double>, count: Int) -> (minimum: Double, maximum: Double) {
    // Two of each, because a comparison waits for the one before.
    var (low, high) = ((Double.infinity, Double.infinity), (-Double.infinity, -Double.infinity))
    var i = 0
    while i &+ 1 < count {
        let (a, b) = (x[i], x[i &+ 1])
        low = (a < low.0 ? a : low.0, b < low.1 ? b : low.1)
        high = (a > high.0 ? a : high.0, b > high.1 ? b : high.1)
        i &+= 2
    }
    if i < count { (low.0, high.0) = (min(low.0, x[i]), max(high.0, x[i])) }
    return (min(low.0, low.1), max(high.0, high.1))
}

/// Adds up, in F64, what several rows of numbers have in common.
public struct RowSums {
    /// The inner products of all pairs of rows, [i * rows + j] for i ≤ j. Safety: valid as long as the memory.
    public let products: UnsafePointer<Double>
    /// Σ |Σ_e x_e| and Σ Σ_e |x_e| over the places.
    public let magnitudeOfSums, sumOfMagnitudes: Double

    /// Numbers that the sums of some rows take.
    public static func space(rowCount: Int) -> Int { rowCount * rowCount + untangle_row_space(rowCount) }

    /// Adds the places up.
    ///
    /// - Parameter memory: `space` numbers.
    /// - Precondition: `count` is a multiple of 8.
    public init(
        of rows: UnsafeBufferPointer<UnsafePointer<Float>?>, count: Int, in memory: UnsafeMutablePointer<Double>
    ) {
        let square = rows.count * rows.count
        memory.update(repeating: 0, count: square)
        var (ofSums, ofAll) = (0.0, 0.0)
        untangle_add_row_sums(rows.baseAddress!, rows.count, count, memory + square, memory, &ofSums, &ofAll)
        products = UnsafePointer(memory)
        magnitudeOfSums = ofSums
        sumOfMagnitudes = ofAll
    }
}
