// Transcendental functions for vectorised loops.
//
// Each is a straight line of additions, multiplications and bit operations without calls or branches, so that a counted
// loop over it becomes SSE2 code. They avoid fused multiply-add, which is a library call on the baseline, and so give
// the same bits on every x86-64.

/// The exponential function in single precision.
///
/// Reduces to `r = x - n ln 2` with |r| <= ln 2 / 2, evaluates `1 + r + r² p(r)` and scales by 2^n through the exponent
/// bits. The coefficients of `p` are a minimax fit of relative error 5e-11 (Lawson's iteration in double precision).
///
/// - Returns: e^x within 2 units in the last place for -87 <= x <= 88; arguments outside are moved to the nearer end.
///   NaN stays NaN.
@inlinable @inline(__always)
public func exponential(_ x: Float) -> Float {
    var x = x > 88 ? 88 : x
    x = x < -87 ? -87 : x
    // Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the mantissa.
    let shifted = x * 1.442_695_04 + 12_582_912
    let n = shifted - 12_582_912
    // ln 2 in two parts, the first short enough for n times it to be exact.
    let r = (x - n * 0.693_359_375) - n * -2.121_944_4e-4
    var p: Float = 0.000_199_183_836
    p = p * r + 0.001_394_607_36
    p = p * r + 0.008_333_263_92
    p = p * r + 0.041_666_269_3
    p = p * r + 0.166_666_672
    p = p * r + 0.5
    let mantissa = (p * (r * r) + r) + 1
    let scale = Float(bitPattern: (shifted.bitPattern &- 0x4B40_0000 &+ 127) &<< 23)
    return mantissa * scale
}

/// The normal distribution function Φ(x) and its density φ(x) times √2π, for GELU and its derivative.
///
/// Near zero `Φ(x) = 1/2 + x r(x²)`, a minimax polynomial of absolute error 3e-10 for |x| <= 1.41. Further out
/// `1 - Φ(|x|) = erfc(|x|/√2) / 2 = e^(-x²/2) t q(t) / 2` with `t = 1 / (1 + 0.4 |x|/√2)`, the form of Abramowitz and
/// Stegun 7.1.26 with the six coefficients of `q` fitted anew (minimax error of erfc 2.8e-8 in double precision). One
/// form alone would lose bits: the first to the size of its terms, the second to rounding about 1/2.
///
/// - Returns: Φ within 1e-7, so that erf(x/√2) = 2Φ - 1 is within 2e-7; and e^(-x²/2).
@inlinable @inline(__always)
public func normalDistribution(_ x: Float) -> (probability: Float, bell: Float) {
    let square = x * x
    let bell = exponential(-0.5 * square)
    var r: Float = 4.209_033_48e-7
    r = r * square - 8.765_865_46e-6
    r = r * square + 0.000_114_436_08
    r = r * square - 0.001_186_528_01
    r = r * square + 0.009_973_225_18
    r = r * square - 0.066_490_322_4
    r = r * square + 0.398_942_292
    let t = 1 / (1 + 0.282_842_71 * abs(x))
    var q: Float = -0.200_259_045
    q = q * t + 0.709_146_559
    q = q * t - 0.370_906_741
    q = q * t + 0.468_273_222
    q = q * t + 0.161_823_928
    q = q * t + 0.231_922_045
    let tail = 0.5 * bell * (q * t)
    let far = x < 0 ? tail : 1 - tail
    return (square < 1.99 ? 0.5 + x * r : far, bell)
}

/// The logistic function σ(x) = 1 / (1 + e^-x), and 1 - σ(x) without cancellation.
@inlinable @inline(__always)
public func logistic(_ x: Float) -> (value: Float, complement: Float) {
    let e = exponential(-x)
    let value = 1 / (1 + e)
    return (value, e * value)
}

/// The sum of `count` numbers in eight lanes: the order is fixed, and strict floating-point rules do not serialise it.
@inlinable @inline(__always)
public func laneSum(_ x: UnsafePointer<Float>, _ count: Int) -> Float {
    var lanes = SIMD8<Float>()
    let raw = UnsafeRawPointer(x)
    var i = 0
    while i &+ 8 <= count {
        lanes += raw.loadUnaligned(fromByteOffset: i &* 4, as: SIMD8<Float>.self)
        i &+= 8
    }
    var sum = lanes.sum()
    while i < count {
        sum += x[i]
        i &+= 1
    }
    return sum
}

/// The inner product of two rows of `count` numbers, in eight lanes.
@inlinable @inline(__always)
public func laneProduct(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ count: Int) -> Float {
    var lanes = SIMD8<Float>()
    let a = UnsafeRawPointer(x)
    let b = UnsafeRawPointer(y)
    var i = 0
    while i &+ 8 <= count {
        lanes +=
            a.loadUnaligned(fromByteOffset: i &* 4, as: SIMD8<Float>.self)
            * b.loadUnaligned(fromByteOffset: i &* 4, as: SIMD8<Float>.self)
        i &+= 8
    }
    var sum = lanes.sum()
    while i < count {
        sum += x[i] * y[i]
        i &+= 1
    }
    return sum
}
