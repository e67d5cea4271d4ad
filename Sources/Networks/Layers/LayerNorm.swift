import CKernels
import Kernels

/// Applies layer normalisation over the last dimension of every row.
///
/// - Shapes: `x` `[R, C]` with rows `xStride` apart, `out` `[R, C]`, `weight` and `bias` `[C]`, `mean` and `rstd` `[R]`
///   for the backward pass.
/// - Precondition: buffers do not overlap.
/// - Source: Ba, Kiros, Hinton 2016, arXiv:1607.06450. `eps` is inside the square root and the variance is divided by
///   `C`, as in PyTorch.
package func layerNormForward(
    _ out: UnsafeMutablePointer<Float>, mean: UnsafeMutablePointer<Float>, rstd: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, xStride: Int, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>, R: Int, C: Int,
    eps: Float
) {
    share(rows: R, grain: rowsAtOnce) { rows in
        let r = rows.lowerBound
        untangle_layer_norm(
            out + r * C, mean + r, rstd + r, x + r * xStride, xStride, weight, bias, rows.count, C, eps)
    }
}

/// The rows that a thread takes at a time, and whose gradients of weight and bias are summed before they are added to those of
/// others: a fixed number, so that sums do not depend on the number of threads.
private let rowsAtOnce = 64

/// The parts of so many rows whose sums `layerNormBackward` keeps apart.
package func layerNormPartCount(R: Int) -> Int { (R + rowsAtOnce - 1) / rowsAtOnce }

/// The gradients of `layerNormForward`.
///
/// Adds to all of them.
///
/// - Shapes: `dOut` `[R, C]`, `x` and `dx` `[R, C]` with rows `xStride` apart, `dWeight` and `dBias` `[C]`, `scratch`
///   `[layerNormPartCount(R), 2, C]`.
package func layerNormBackward(
    dx: UnsafeMutablePointer<Float>, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>,
    _ dOut: UnsafePointer<Float>, _ x: UnsafePointer<Float>, xStride: Int, mean: UnsafePointer<Float>,
    rstd: UnsafePointer<Float>, weight: UnsafePointer<Float>, R: Int, C: Int, scratch: UnsafeMutablePointer<Float>
) {
    share(rows: R, grain: rowsAtOnce) { rows in
        let r = rows.lowerBound
        let part = scratch + r / rowsAtOnce * 2 * C
        untangle_layer_norm_gradient(
            dx + r * xStride, part, part + C, dOut + r * C, x + r * xStride, xStride, mean + r, rstd + r, weight,
            rows.count, C)
    }
    untangle_add_rows(dWeight, scratch, 2 * C, layerNormPartCount(R: R), C)
    untangle_add_rows(dBias, scratch + C, 2 * C, layerNormPartCount(R: R), C)
}
