import CKernels
import Kernels

/// Applies `out = x · weightᵀ + bias` to every row, or adds that to `out`.
///
/// - Shapes: `x` `[R, C]` with rows `xStride` apart, `weight` `[O, C]`, `bias` `[O]`, `out` `[R, O]` with rows
///   `outStride` apart.
package func linearForward(
    _ out: UnsafeMutablePointer<Float>, outStride: Int, _ x: UnsafePointer<Float>, xStride: Int,
    weight: UnsafePointer<Float>, bias: UnsafePointer<Float>?, R: Int, C: Int, O: Int, accumulate: Bool = false
) {
    multiply(
        R, O, C, .rows(x, stride: xStride), .transposed(weight, stride: C), into: out, stride: outStride,
        accumulate: accumulate, bias: bias)
}

/// The gradients of `linearForward`.
///
/// Adds to `dWeight` and `dBias`; overwrites `dx`, or adds to it where `accumulate` is set.
///
/// - Shapes: `dOut` `[R, O]` with rows `outStride` apart, `x` and `dx` `[R, C]` with rows `xStride` apart, `dWeight`
///   `[O, C]`, `dBias` `[O]`.
package func linearBackward(
    dx: UnsafeMutablePointer<Float>?, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?,
    _ dOut: UnsafePointer<Float>, outStride: Int, _ x: UnsafePointer<Float>, xStride: Int,
    weight: UnsafePointer<Float>, R: Int, C: Int, O: Int, accumulate: Bool = false
) {
    multiply(
        O, C, R, .transposed(dOut, stride: outStride), .rows(x, stride: xStride), into: dWeight, stride: C,
        accumulate: true)
    if let dBias { addRows(dBias, dOut, stride: outStride, R: R, C: O) }
    if let dx {
        multiply(
            R, C, O, .rows(dOut, stride: outStride), .rows(weight, stride: C), into: dx, stride: xStride,
            accumulate: accumulate)
    }
}

/// Adds the rows of `x` to `out`.
///
/// - Shapes: `x` `[R, C]` with rows `stride` apart, `out` `[C]`.
package func addRows(
    _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, stride: Int, R: Int, C: Int
) {
    share(rows: C, grain: Team.size > 1 ? 128 : C) { columns in
        untangle_add_rows(out + columns.lowerBound, x + columns.lowerBound, stride, R, columns.count)
    }
}
