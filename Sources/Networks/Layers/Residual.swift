import Kernels

/// Adds a linear layer to the stream: `out = x + gamma * (input weightᵀ + bias)`, with `gamma` 1 where there is none.
///
/// - Shapes: `x` `[R, O]` with rows `xStride` apart, `input` `[R, C]`, `weight` `[O, C]`, `bias` and `gamma` `[O]`, `out` `[R, O]`,
///   `branch` `[R, O]` for the backward pass, which is written only where there is a `gamma`.
/// - Source: Touvron et al. 2021, arXiv:2103.17239, for `gamma`.
package func residualForward(
    _ out: UnsafeMutablePointer<Float>, branch: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, xStride: Int,
    _ input: UnsafePointer<Float>, weight: UnsafePointer<Float>, bias: UnsafePointer<Float>,
    gamma: UnsafePointer<Float>?, R: Int, C: Int, O: Int
) {
    guard let gamma else {
        for r in 0..<R { (out + r * O).update(from: x + r * xStride, count: O) }
        linearForward(
            out, outStride: O, input, xStride: C, weight: weight, bias: bias, R: R, C: C, O: O, accumulate: true)
        return
    }
    linearForward(branch, outStride: O, input, xStride: C, weight: weight, bias: bias, R: R, C: C, O: O)
    for r in 0..<R {
        let (row, stream, added) = (out + r * O, x + r * xStride, branch + r * O)
        for o in 0..<O { row[o] = stream[o] + gamma[o] * added[o] }
    }
}

/// The gradients of `residualForward` by all but `x`, whose gradient is `dOut`: adds to those of parameters, and overwrites `dInput`.
///
/// - Shapes: `dOut` `[R, O]`, `dInput` and `input` `[R, C]`, `dWeight` `[O, C]`, `dBias` and `dGamma` `[O]`; `branch` from the
///   forward pass and `scratch` `[R, O]`, which are read and written only where there is a `gamma`.
package func residualBackward(
    dInput: UnsafeMutablePointer<Float>, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>,
    dGamma: UnsafeMutablePointer<Float>?, _ dOut: UnsafePointer<Float>, branch: UnsafePointer<Float>,
    _ input: UnsafePointer<Float>, weight: UnsafePointer<Float>, gamma: UnsafePointer<Float>?,
    scratch: UnsafeMutablePointer<Float>, R: Int, C: Int, O: Int
) {
    var dBranch = dOut
    if let gamma, let dGamma {
        for r in 0..<R {
            let (target, slope, added) = (scratch + r * O, dOut + r * O, branch + r * O)
            for o in 0..<O {
                dGamma[o] += slope[o] * added[o]
                target[o] = slope[o] * gamma[o]
            }
        }
        dBranch = UnsafePointer(scratch)
    }
    linearBackward(
        dx: dInput, dWeight: dWeight, dBias: dBias, dBranch, outStride: O, input, xStride: C, weight: weight, R: R,
        C: C, O: O)
}
