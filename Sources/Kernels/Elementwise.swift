// Elementwise kernels: one plain loop each, which the compiler vectorises. A product and a sum are written apart, never
// fused, so that results do not depend on the processor.
//
// Safety: every pointer is valid for `count` elements; buffers do not overlap unless they are the same.

import CKernels

/// `result = factor * x`
@inlinable
public func assign<T: ElementwiseScalar>(
    _ result: UnsafeMutablePointer<T>, scaled x: UnsafePointer<T>, by factor: T, count: Int
) {
    for i in 0..<count { result[i] = factor * x[i] }
}

/// `result = result + factor * x`
@inlinable
public func add<T: ElementwiseScalar>(
    to result: UnsafeMutablePointer<T>, scaled x: UnsafePointer<T>, by factor: T, count: Int
) {
    for i in 0..<count { result[i] = result[i] + factor * x[i] }
}

/// `x = x / divisor`
@inlinable
public func divide<T: ElementwiseScalar>(_ x: UnsafeMutablePointer<T>, by divisor: T, count: Int) {
    for i in 0..<count { x[i] = x[i] / divisor }
}

/// `x = x - base`, where equal infinities count as no difference instead of NaN.
@inlinable
public func subtract<T: ElementwiseScalar>(
    _ base: UnsafePointer<T>, from x: UnsafeMutablePointer<T>, count: Int
) {
    if isFinite(x, count: count) {
        _ = T.subtract(base, from: x, count: count)
    } else {
        for i in 0..<count { x[i] = x[i] == base[i] ? 0 : x[i] - base[i] }
    }
}

/// Whether no number is NaN or infinite.
@inlinable
public func isFinite<T: ElementwiseScalar>(_ x: UnsafePointer<T>, count: Int) -> Bool {
    !T.hasNonFinite(x, count: count)
}

/// Counts numbers whose magnitude has exactly a key, which is below 2^31.
@inlinable
public func countMagnitudes<T: ElementwiseScalar>(_ x: UnsafePointer<T>, equalTo key: UInt32, count: Int) -> Int {
    var equal: UInt32 = 0
    // Only 0 - 1 reaches the top bit.
    for i in 0..<count { equal &+= ((x[i].magnitudeKey ^ key) &- 1) >> 31 }
    return Int(equal)
}

/// Counts NaN and infinities, apart.
///
/// - Cost: one pass when all is finite, as nearly always.
@inlinable
public func countNonFinite<T: ElementwiseScalar>(_ x: UnsafePointer<T>, count: Int) -> (nan: Int, infinite: Int) {
    if isFinite(x, count: count) { return (0, 0) }
    var nan = 0
    var infinite = 0
    for i in 0..<count {
        if x[i].isNaN { nan += 1 } else if x[i].isInfinite { infinite += 1 }
    }
    return (nan, infinite)
}

/// `result = x - base` with `x` as F32 is stored, at any address; equal infinities make NaN.
public func subtract(
    _ base: UnsafePointer<Float>, fromStored x: UnsafeRawBufferPointer, into result: UnsafeMutablePointer<Float>
) {
    untangle_difference(base, x.baseAddress, x.count / 4, result)
}
