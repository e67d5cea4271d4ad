// Reductions in F64: eight sums side by side, added in a fixed order, so that a result depends on the numbers alone.
//
// Safety: every pointer is valid for `count` elements.

/// Σ x_i y_i
public func dotProduct(_ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, count: Int) -> Double {
    var sums = SIMD8<Double>()
    let whole = count & ~7
    var i = 0
    while i < whole {
        let a = UnsafeRawPointer(x + i).loadUnaligned(as: SIMD8<Float>.self)
        let b = UnsafeRawPointer(y + i).loadUnaligned(as: SIMD8<Float>.self)
        sums += SIMD8<Double>(a) * SIMD8<Double>(b)
        i &+= 8
    }
    var rest = 0.0
    while i < count {
        rest += Double(x[i]) * Double(y[i])
        i &+= 1
    }
    return sums.sum() + rest
}

/// Σ x_i²
public func sumOfSquares(_ x: UnsafePointer<Float>, count: Int) -> Double { dotProduct(x, x, count: count) }

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
