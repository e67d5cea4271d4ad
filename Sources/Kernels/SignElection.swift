import CKernels

/// Combines the largest entries of several task vectors that have the sign of their sum, on top of the base.
///
///     v_i = w_i (θ_i − θ₀), 0 where the magnitude of the difference is below that of `limits[i]`
///     θ   = θ₀ + factor · Σ v_i / Σ w_i      over the v_i that are not zero and have the sign of the sum of all v_i
///
/// - Parameters:
///   - limits: keys as `ElementwiseScalar.magnitudeKey` gives them, up to 2^31.
///   - zeroSign: the sign bit that a sum of zero elects.
///   - isAveraging: without it there is no division; a divisor below 10⁻⁸ counts as 1.
/// - Returns: false when nothing was done, because there are fewer than 8 entries or a number is not finite.
public func electSigns(
    base: UnsafePointer<Float>, experts: [UnsafePointer<Float>], limits: [UInt32], weights: [Float], zeroSign: UInt32,
    isAveraging: Bool, factor: Float, into result: UnsafeMutablePointer<Float>, count: Int
) -> Bool {
    precondition(limits.count >= experts.count && weights.count >= experts.count)
    let pointers = experts.map { Optional($0) }
    return untangle_elect(
        base, pointers, limits, weights, experts.count, count, Int32(zeroSign), isAveraging ? 1 : 0, factor, result)
        == 0
}
