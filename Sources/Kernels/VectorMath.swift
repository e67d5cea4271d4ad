import CKernels

// Transcendental functions over arrays, the same bits on every processor.

/// Replaces numbers by their exponential.
///
/// - Returns: e^x within 2 units in the last place for -87 <= x <= 88; arguments outside are moved to the nearer end.
///   NaN stays NaN.
package func exponentials(_ x: UnsafeMutablePointer<Float>, _ count: Int) { untangle_exponential(x, count) }

/// Replaces numbers by the normal distribution function Φ(x), within 1e-7, and overwrites `bell` with e^(-x²/2).
package func normalDistribution(
    _ x: UnsafeMutablePointer<Float>, bell: UnsafeMutablePointer<Float>, _ count: Int
) {
    untangle_normal_distribution(x, bell, count)
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
