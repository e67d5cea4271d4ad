import Kernels

// What methods share that elect a sign for every entry. Conditions are bits, for the reason given at `ElementwiseScalar`.

/// Adds to the result what has the sign of the sum, and its weight to the divisor.
///
/// - Parameters:
///   - zeroSign: the sign bit that a sum of zero elects.
///   - factor: what a vote is multiplied by when it is added.
@inline(__always)
func addAgreeing<T: ElementwiseScalar>(
    _ vote: UnsafePointer<T>, sum: UnsafePointer<T>, zeroSign: UInt32 = 0, times factor: T = 1, weight: T,
    to result: UnsafeMutablePointer<T>, _ divisor: UnsafeMutablePointer<T>, count: Int
) {
    for i in 0..<count {
        let isZero = sum[i].zeroBit
        let elected = sum[i].signBit & ~isZero | zeroSign & isZero
        let agrees = ~(vote[i].signBit ^ elected | vote[i].zeroBit) & 1
        result[i] = result[i] + (factor * vote[i]).masked(by: agrees)
        divisor[i] = divisor[i] + weight.masked(by: agrees)
    }
}

/// `result = base + factor * result`, or the sum where it is NaN: NaN has no sign and would be lost in the election.
@inline(__always)
func scale<T: ElementwiseScalar>(
    _ result: UnsafeMutablePointer<T>, by factor: T, addingTo base: UnsafePointer<T>, unlessNaN sum: UnsafePointer<T>,
    count: Int
) {
    if isFinite(sum, count: count) {
        for i in 0..<count { result[i] = base[i] + factor * result[i] }
    } else {
        for i in 0..<count { result[i] = sum[i].isNaN ? sum[i] : base[i] + factor * result[i] }
    }
}

/// `sum = Σ rows`, in order.
@inline(__always)
func sumUp<T: ElementwiseScalar>(_ rows: [UnsafeMutablePointer<T>], into sum: UnsafeMutablePointer<T>, count: Int) {
    sum.update(repeating: 0, count: count)
    for row in rows {
        for i in 0..<count { sum[i] += row[i] }
    }
}
