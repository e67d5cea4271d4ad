import CKernels

/// The largest magnitude among numbers, 0 of none; not finite when one of them is not.
package func largestMagnitude(_ x: UnsafePointer<Float>, count: Int) -> Float {
    untangle_largest_magnitude(x, count)
}

/// Rounds `x * factor / divisor` to E4M3, nearest even; what is larger than 448 becomes 448.
///
/// - Precondition: the numbers are finite, and `codes` has room for as many bytes.
package func encodeE4M3(
    _ x: UnsafePointer<Float>, count: Int, times factor: Float = 1, over divisor: Float = 1,
    into codes: UnsafeMutablePointer<UInt8>
) {
    untangle_encode_e4m3(x, count, factor, divisor, codes)
}
