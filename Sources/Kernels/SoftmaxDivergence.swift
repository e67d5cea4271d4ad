import CKernels
import Glibc

// How far rows differ as distributions, in F64. Numbers that are not finite count nothing.

/// Σ exp(v) of numbers that come in pieces, at the scale of the largest.
public struct ExponentialSum: Sendable {
    private var largest = -Double.infinity
    private var sum = 0.0

    public init() {}

    /// Adds a piece of a row.
    @inlinable
    public mutating func add<T: ElementwiseScalar>(_ values: UnsafePointer<T>, count: Int) {
        let (largest, sum) = T.exponentialSum(values, count: count)
        add(largest: largest, sum: sum)
    }

    public mutating func add(_ other: ExponentialSum) { add(largest: other.largest, sum: other.sum) }

    @usableFromInline
    mutating func add(largest other: Double, sum otherSum: Double) {
        guard otherSum != 0 else { return }
        guard sum != 0 else {
            (largest, sum) = (other, otherSum)
            return
        }
        // The smaller at the scale of the larger.
        if other > largest {
            sum = otherSum + sum * exp(largest - other)
            largest = other
        } else {
            sum += otherSum * exp(other - largest)
        }
    }

    /// What makes a softmax of a row: exp(v - largest) times the scale.
    @usableFromInline var scale: untangle_softmax_scale { untangle_softmax_scale(largest: largest, scale: 1 / sum) }
}

/// Σ p ln(p / q) over a part of two rows, where p is the softmax of `x` plus 10⁻⁸ and q that of `y`.
///
/// - Parameters:
///   - xSum: the sum over the whole row of `x`.
///   - ySum: the sum over the whole row of `y`.
@inlinable
public func divergence<T: ElementwiseScalar>(
    of x: UnsafePointer<T>, from y: UnsafePointer<T>, count: Int, sums xSum: ExponentialSum, _ ySum: ExponentialSum
) -> Double {
    T.divergence(of: x, from: y, count: count, xSum.scale, ySum.scale)
}
