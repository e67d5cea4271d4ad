import CKernels
import Kernels

/// The sizes of one self-attention.
///
/// `R` is the number of queries of an input: `T`, or 1 in the last block of a model that keeps the class token only,
/// where the other queries would be computed for nothing.
package struct AttentionSizes {
    package let B, T, R, C, H: Int

    package init(B: Int, T: Int, R: Int, C: Int, H: Int) {
        (self.B, self.T, self.R, self.C, self.H) = (B, T, R, C, H)
    }

    /// The width of one head.
    var D: Int { C / H }
    var scale: Float { 1 / Float(D).squareRoot() }
}

/// Computes queries, keys and values in one matrix product; queries of the first `R` tokens of an image only.
///
/// - Shapes: `x` `[B, T, C]`, `weight` `[3C, C]` (queries, keys, values), `bias` `[3C]` or nil, `qkv` `[B, T, 3C]`.
/// - Precondition: `R` is `T` or 1.
package func qkvForward(
    _ qkv: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?, _ sizes: AttentionSizes
) {
    let (B, T, C) = (sizes.B, sizes.T, sizes.C)
    guard sizes.R < T else {
        linearForward(
            qkv, outStride: 3 * C, x, xStride: C, weight: weight, bias: bias, R: B * T, C: C, O: 3 * C)
        return
    }
    linearForward(
        qkv, outStride: 3 * C * T, x, xStride: C * T, weight: weight, bias: bias, R: B, C: C, O: C)
    linearForward(
        qkv + C, outStride: 3 * C, x, xStride: C, weight: weight + C * C, bias: bias.map { $0 + C }, R: B * T, C: C,
        O: 2 * C)
}

/// The gradients of `qkvForward`: overwrites `dx`, and adds to `dWeight` and `dBias`.
package func qkvBackward(
    dx: UnsafeMutablePointer<Float>, dWeight: UnsafeMutablePointer<Float>, dBias: UnsafeMutablePointer<Float>?,
    _ dQKV: UnsafePointer<Float>, _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, _ sizes: AttentionSizes
) {
    let (B, T, C) = (sizes.B, sizes.T, sizes.C)
    guard sizes.R < T else {
        linearBackward(
            dx: dx, dWeight: dWeight, dBias: dBias, dQKV, outStride: 3 * C, x, xStride: C, weight: weight, R: B * T,
            C: C, O: 3 * C)
        return
    }
    linearBackward(
        dx: dx, dWeight: dWeight + C * C, dBias: dBias.map { $0 + C }, dQKV + C, outStride: 3 * C, x, xStride: C,
        weight: weight + C * C, R: B * T, C: C, O: 2 * C)
    linearBackward(
        dx: dx, dWeight: dWeight, dBias: dBias, dQKV, outStride: 3 * C * T, x, xStride: C * T, weight: weight, R: B,
        C: C, O: C, accumulate: true)
}

/// Applies multi-head self-attention: `softmax(q kᵀ / √D) v` for every input and head.
///
/// - Shapes: `qkv` `[B, T, 3, H, D]`, `mask` `[B, T]`, 0 for keys that nothing looks at and 1 for others, or nil; `probabilities`
///   `[B, H, R, T]` for the backward pass, `out` `[B, R, C]`.
/// - Precondition: a mask leaves every input a key.
/// - Source: Vaswani et al. 2017, arXiv:1706.03762.
package func attentionForward(
    _ out: UnsafeMutablePointer<Float>, probabilities: UnsafeMutablePointer<Float>, _ qkv: UnsafePointer<Float>,
    mask: UnsafePointer<Float>? = nil, _ sizes: AttentionSizes
) {
    let (T, R, C, H, D) = (sizes.T, sizes.R, sizes.C, sizes.H, sizes.D)
    share(sizes.B * H) { pair in
        let (b, h) = pair.quotientAndRemainder(dividingBy: H)
        let q = qkv + b * T * 3 * C + h * D
        let p = probabilities + pair * R * T
        multiply(
            R, T, D, .rows(q, stride: 3 * C), .transposed(q + C, stride: 3 * C), into: p, stride: T, alpha: sizes.scale)
        untangle_softmax(p, mask.map { $0 + b * T }, R, T)
        multiply(
            R, D, T, .rows(p, stride: T), .rows(q + 2 * C, stride: 3 * C), into: out + b * R * C + h * D, stride: C)
    }
}

/// The gradients of `attentionForward`: overwrites the keys and values of every token and the queries of the first `R`
/// tokens in `dQKV`; other queries are left as they are.
///
/// - Shapes: `dOut` `[B, R, C]`, `dQKV` `[B, T, 3, H, D]`, `scratch` `[B, H, R, T]`.
package func attentionBackward(
    dQKV: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, _ qkv: UnsafePointer<Float>,
    probabilities: UnsafePointer<Float>, scratch: UnsafeMutablePointer<Float>, _ sizes: AttentionSizes
) {
    let (T, R, C, H, D) = (sizes.T, sizes.R, sizes.C, sizes.H, sizes.D)
    share(sizes.B * H) { pair in
        let (b, h) = pair.quotientAndRemainder(dividingBy: H)
        let offset = b * T * 3 * C + h * D
        let q = qkv + offset
        let dq = dQKV + offset
        let g = dOut + b * R * C + h * D
        let p = probabilities + pair * R * T
        let scores = scratch + pair * R * T
        multiply(T, D, R, .transposed(p, stride: T), .rows(g, stride: C), into: dq + 2 * C, stride: 3 * C)
        multiply(R, T, D, .rows(g, stride: C), .transposed(q + 2 * C, stride: 3 * C), into: scores, stride: T)
        untangle_softmax_gradient(scores, p, R, T)
        multiply(
            R, D, T, .rows(scores, stride: T), .rows(q + C, stride: 3 * C), into: dq, stride: 3 * C,
            alpha: sizes.scale)
        multiply(
            T, D, R, .transposed(scores, stride: T), .rows(q, stride: 3 * C), into: dq + C, stride: 3 * C,
            alpha: sizes.scale)
    }
}
