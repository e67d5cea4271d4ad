import CKernels
import TensorCore

/// The types that elementwise kernels compute in: `Float`, and `Double` for tensors of F64.
public protocol ElementwiseScalar: BinaryFloatingPoint, Sendable {
    /// Reads elements of a floating-point type; see `widen`.
    static func read(
        _ source: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<Self>)

    /// Rounds elements to a type that computes; returns how many were beyond its range or became zero. See `narrow`.
    static func write(
        _ source: UnsafeBufferPointer<Self>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
    ) -> CastLosses

    /// Orders numbers by magnitude, compared in F32: the bits without the sign. NaN is larger than infinity.
    var magnitudeKey: UInt32 { get }

    // Conditions as bits, 0 or 1. A condition on data that stays a branch keeps a loop scalar, and costs a misprediction for
    // every other random number; sums and masks of bits vectorise.

    /// 1 for NaN and infinities.
    var nonFiniteBit: UInt32 { get }
    /// 1 for zero of either sign.
    var zeroBit: UInt32 { get }
    /// 1 when the sign is minus.
    var signBit: UInt32 { get }
    /// The number where the bit is 1, plus zero where it is 0.
    func masked(by bit: UInt32) -> Self

    /// Whether NaN or an infinity is among the numbers.
    static func hasNonFinite(_ x: UnsafePointer<Self>, count: Int) -> Bool

    /// `x = x - base`, which is wrong for infinities that are equal.
    ///
    /// - Returns: whether NaN or an infinity was among `x`.
    static func subtract(_ base: UnsafePointer<Self>, from x: UnsafeMutablePointer<Self>, count: Int) -> Bool

    /// `x[i] += scale · Σ_k left[k · leftStride] · right[k · rightStride + i]`: a run of a row of a product of low rank. How a row is
    /// cut into runs does not change the result.
    static func addLowRank(
        _ left: UnsafePointer<Self>, stride leftStride: Int, _ right: UnsafePointer<Self>, stride rightStride: Int,
        rank: Int, scale: Self, to x: UnsafeMutablePointer<Self>, count: Int)

    /// Puts `x` where its magnitude is not below that of the largest so far, or where it is NaN, which stays.
    static func keepLarger(_ x: UnsafePointer<Self>, count: Int, in largest: UnsafeMutablePointer<Self>)

    /// Adds numbers whose magnitude is above `epsilon`, or that are NaN, to a sum, and counts them.
    static func addActive(
        _ x: UnsafePointer<Self>, count: Int, beyond epsilon: Self, to sum: UnsafeMutablePointer<Self>,
        counting active: UnsafeMutablePointer<Self>)

    /// The largest of the finite numbers, -∞ where there is none, and Σ exp(x - largest) over them.
    static func exponentialSum(_ x: UnsafePointer<Self>, count: Int) -> (largest: Double, sum: Double)

    /// See the function of that name.
    static func divergence(
        of x: UnsafePointer<Self>, from y: UnsafePointer<Self>, count: Int, _ xScale: untangle_softmax_scale,
        _ yScale: untangle_softmax_scale
    ) -> Double

    /// Σ p ln(p / q) over two whole rows, with space for twice as many numbers.
    static func rowDivergence(
        of x: UnsafePointer<Self>, from y: UnsafePointer<Self>, count: Int, space: UnsafeMutablePointer<Double>
    ) -> Double

    /// `|x - y| · scale`, the product in F64.
    static func scaledDistance(
        _ x: UnsafePointer<Self>, _ y: UnsafePointer<Self>, count: Int, scale: Double,
        into out: UnsafeMutablePointer<Float>)

    /// `x` where its score is not below the threshold or it is not finite, else `y`.
    static func choose(
        _ x: UnsafePointer<Self>, _ y: UnsafePointer<Self>, count: Int, scores: UnsafePointer<Float>,
        from threshold: Float,
        into out: UnsafeMutablePointer<Self>)

    /// Sets the marks of numbers whose magnitude lies inside of a bracket to 1, those of others to 0.
    ///
    /// - Returns: how many numbers are larger than the bracket, and how many are its pivot, which is not marked.
    static func mark(
        _ x: UnsafePointer<Self>, count: Int, inside bracket: MagnitudeBracket, _ marks: UnsafeMutablePointer<UInt8>
    ) -> (larger: Int, equal: Int)
}

extension Float: ElementwiseScalar {
    public static func read(
        _ source: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<Float>
    ) {
        widen(source, dtype, into: destination)
    }

    public static func write(
        _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
    ) -> CastLosses {
        narrow(source, into: destination, as: dtype)
    }

    @inlinable public var magnitudeKey: UInt32 { bitPattern & 0x7FFF_FFFF }

    public static func hasNonFinite(_ x: UnsafePointer<Float>, count: Int) -> Bool {
        untangle_has_non_finite(x, count) != 0
    }

    public static func subtract(
        _ base: UnsafePointer<Float>, from x: UnsafeMutablePointer<Float>, count: Int
    ) -> Bool {
        untangle_subtract(base, x, count) != 0
    }

    public static func addLowRank(
        _ left: UnsafePointer<Float>, stride leftStride: Int, _ right: UnsafePointer<Float>, stride rightStride: Int,
        rank: Int, scale: Float, to x: UnsafeMutablePointer<Float>, count: Int
    ) {
        untangle_add_low_rank(x, count, left, leftStride, right, rightStride, rank, scale)
    }

    public static func keepLarger(_ x: UnsafePointer<Float>, count: Int, in largest: UnsafeMutablePointer<Float>) {
        untangle_keep_larger(x, count, largest)
    }

    public static func addActive(
        _ x: UnsafePointer<Float>, count: Int, beyond epsilon: Float, to sum: UnsafeMutablePointer<Float>,
        counting active: UnsafeMutablePointer<Float>
    ) {
        untangle_add_active(x, count, epsilon, sum, active)
    }

    public static func exponentialSum(_ x: UnsafePointer<Float>, count: Int) -> (largest: Double, sum: Double) {
        var largest = 0.0
        let sum = untangle_exponential_sum(x, count, &largest)
        return (largest, sum)
    }

    public static func divergence(
        of x: UnsafePointer<Float>, from y: UnsafePointer<Float>, count: Int, _ xScale: untangle_softmax_scale,
        _ yScale: untangle_softmax_scale
    ) -> Double {
        untangle_divergence(x, y, count, xScale, yScale)
    }

    public static func rowDivergence(
        of x: UnsafePointer<Float>, from y: UnsafePointer<Float>, count: Int, space: UnsafeMutablePointer<Double>
    ) -> Double {
        untangle_row_divergence(x, y, count, space)
    }

    public static func scaledDistance(
        _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int, scale: Double,
        into out: UnsafeMutablePointer<Float>
    ) {
        untangle_scaled_distance(x, y, count, scale, out)
    }

    public static func choose(
        _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int, scores: UnsafePointer<Float>,
        from threshold: Float, into out: UnsafeMutablePointer<Float>
    ) {
        untangle_choose(scores, threshold, x, y, count, out)
    }

    public static func mark(
        _ x: UnsafePointer<Float>, count: Int, inside bracket: MagnitudeBracket, _ marks: UnsafeMutablePointer<UInt8>
    ) -> (larger: Int, equal: Int) {
        var (larger, equal) = (0, 0)
        untangle_mark_keys(x, count, bracket.pivot, bracket.lower, bracket.upper, marks, &larger, &equal)
        return (larger, equal)
    }

    // The exponent of all ones carries into the sign's place.
    @inlinable public var nonFiniteBit: UInt32 { ((bitPattern & 0x7F80_0000) &+ 0x0080_0000) >> 31 }
    // Of magnitudes only zero, less 1, has the upper bit.
    @inlinable public var zeroBit: UInt32 { ((bitPattern & 0x7FFF_FFFF) &- 1) >> 31 }
    @inlinable public var signBit: UInt32 { bitPattern >> 31 }
    @inlinable public func masked(by bit: UInt32) -> Float { Float(bitPattern: bitPattern & (0 &- bit)) }
}

extension Double: ElementwiseScalar {
    public static func read(
        _ source: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<Double>
    ) {
        widen(source, dtype, into: destination)
    }

    public static func write(
        _ source: UnsafeBufferPointer<Double>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
    ) -> CastLosses {
        narrow(source, into: destination, as: dtype)
    }

    @inlinable public var magnitudeKey: UInt32 { Float(self).bitPattern & 0x7FFF_FFFF }

    public static func hasNonFinite(_ x: UnsafePointer<Double>, count: Int) -> Bool {
        var found: UInt32 = 0
        for i in 0..<count { found |= x[i].nonFiniteBit }
        return found != 0
    }

    public static func subtract(
        _ base: UnsafePointer<Double>, from x: UnsafeMutablePointer<Double>, count: Int
    ) -> Bool {
        let isSpecial = hasNonFinite(x, count: count)
        for i in 0..<count { x[i] = x[i] - base[i] }
        return isSpecial
    }

    public static func addLowRank(
        _ left: UnsafePointer<Double>, stride leftStride: Int, _ right: UnsafePointer<Double>, stride rightStride: Int,
        rank: Int, scale: Double, to x: UnsafeMutablePointer<Double>, count: Int
    ) {
        untangle_add_low_rank_f64(x, count, left, leftStride, right, rightStride, rank, scale)
    }

    public static func keepLarger(_ x: UnsafePointer<Double>, count: Int, in largest: UnsafeMutablePointer<Double>) {
        for i in 0..<count where !largest[i].isNaN {
            largest[i] = abs(x[i]) < abs(largest[i]) ? largest[i] : x[i]
        }
    }

    public static func addActive(
        _ x: UnsafePointer<Double>, count: Int, beyond epsilon: Double, to sum: UnsafeMutablePointer<Double>,
        counting active: UnsafeMutablePointer<Double>
    ) {
        for i in 0..<count where !(abs(x[i]) <= epsilon) {
            sum[i] += x[i]
            active[i] += 1
        }
    }

    public static func exponentialSum(_ x: UnsafePointer<Double>, count: Int) -> (largest: Double, sum: Double) {
        var largest = 0.0
        let sum = untangle_exponential_sum_f64(x, count, &largest)
        return (largest, sum)
    }

    public static func divergence(
        of x: UnsafePointer<Double>, from y: UnsafePointer<Double>, count: Int, _ xScale: untangle_softmax_scale,
        _ yScale: untangle_softmax_scale
    ) -> Double {
        untangle_divergence_f64(x, y, count, xScale, yScale)
    }

    public static func rowDivergence(
        of x: UnsafePointer<Double>, from y: UnsafePointer<Double>, count: Int, space: UnsafeMutablePointer<Double>
    ) -> Double {
        untangle_row_divergence_f64(x, y, count, space)
    }

    public static func scaledDistance(
        _ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>, count: Int, scale: Double,
        into out: UnsafeMutablePointer<Float>
    ) {
        untangle_scaled_distance_f64(x, y, count, scale, out)
    }

    public static func choose(
        _ x: UnsafePointer<Double>, _ y: UnsafePointer<Double>, count: Int, scores: UnsafePointer<Float>,
        from threshold: Float, into out: UnsafeMutablePointer<Double>
    ) {
        untangle_choose_f64(scores, threshold, x, y, count, out)
    }

    public static func mark(
        _ x: UnsafePointer<Double>, count: Int, inside bracket: MagnitudeBracket, _ marks: UnsafeMutablePointer<UInt8>
    ) -> (larger: Int, equal: Int) {
        var larger: UInt32 = 0
        var equal: UInt32 = 0
        for i in 0..<count {
            // The top bit of a difference of keys says which is the larger one; only 0 - 1 sets it otherwise.
            let key = x[i].magnitudeKey
            let isBelow = (key &- bracket.upper) >> 31
            let isPivot = ((key ^ bracket.pivot) &- 1) >> 31
            larger &+= isBelow ^ 1
            equal &+= isPivot
            marks[i] = UInt8(truncatingIfNeeded: isBelow & ((bracket.lower &- key) >> 31) & ~isPivot)
        }
        return (Int(larger), Int(equal))
    }

    @inlinable public var nonFiniteBit: UInt32 {
        UInt32(truncatingIfNeeded: ((bitPattern & 0x7FF0_0000_0000_0000) &+ 0x0010_0000_0000_0000) >> 63)
    }
    @inlinable public var zeroBit: UInt32 { UInt32(truncatingIfNeeded: ((bitPattern & ~(1 << 63)) &- 1) >> 63) }
    @inlinable public var signBit: UInt32 { UInt32(truncatingIfNeeded: bitPattern >> 63) }
    @inlinable public func masked(by bit: UInt32) -> Double { Double(bitPattern: bitPattern & (0 &- UInt64(bit))) }
}

/// 1 when `key >= low`, else 0, of magnitude keys: the sign of their difference.
@inlinable @inline(__always)
public func isAtLeast(_ key: UInt32, _ low: UInt32) -> UInt32 { ~(key &- low) >> 31 }
