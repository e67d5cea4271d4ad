/// Applies one pre-norm block: `y = x + scale1 attention(norm1(x))`, `out = y + scale2 mlp(norm2(y))`.
///
/// - Shapes: `x` `[B, T, C]`; the output, at `acts.out`, `[B, R, C]`, the first `R` tokens of every input; `mask` `[B, T]` or nil.
/// - Source: Dosovitskiy et al. 2020, arXiv:2010.11929.
func preNormForward(
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ sizes: BlockSizes, mask: UnsafePointer<Float>?
) {
    let (B, T, R, C) = (sizes.attention.B, sizes.attention.T, sizes.attention.R, sizes.attention.C)
    layerNormForward(
        a + acts.norm1, mean: a + acts.mean1, rstd: a + acts.rstd1, x, xStride: C, weight: p + at.norm1Weight,
        bias: p + at.norm1Bias, R: B * T, C: C, eps: sizes.eps)
    attentionBranchForward(a + acts.middle, stream: x, a + acts.norm1, p, at, a, acts, sizes, mask: mask)
    layerNormForward(
        a + acts.norm2, mean: a + acts.mean2, rstd: a + acts.rstd2, a + acts.middle, xStride: C,
        weight: p + at.norm2Weight, bias: p + at.norm2Bias, R: B * R, C: C, eps: sizes.eps)
    mlpBranchForward(a + acts.out, stream: a + acts.middle, a + acts.norm2, p, at, a, acts, sizes)
}

/// The gradients of `preNormForward`: adds to the block's part of `grads` and overwrites `dx`; `dOut` is used up.
///
/// - Shapes: `dOut` `[B, R, C]`, `dx` `[B, T, C]`. They may be one buffer where `R = T`.
func preNormBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafeMutablePointer<Float>, grads: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ scratch: BlockScratch, _ sizes: BlockSizes
) {
    let (B, T, R, C) = (sizes.attention.B, sizes.attention.T, sizes.attention.R, sizes.attention.C)
    mlpBranchBackward(
        dx: a + scratch.norm, dOut, grads: grads, a + acts.norm2, p, at, a, acts, scratch, sizes, accumulate: false)
    // From here on dOut is the gradient of the stream between attention and MLP.
    layerNormBackward(
        dx: dOut, dWeight: grads + at.norm2Weight, dBias: grads + at.norm2Bias, a + scratch.norm, a + acts.middle,
        xStride: C, mean: a + acts.mean2, rstd: a + acts.rstd2, weight: p + at.norm2Weight, R: B * R, C: C,
        scratch: a + scratch.slopes)
    attentionBranchBackward(
        dx: a + scratch.norm, dOut, grads: grads, a + acts.norm1, p, at, a, acts, scratch, sizes)
    if dx != dOut {
        dx.update(repeating: 0, count: B * T * C)
        for b in 0..<B { (dx + b * T * C).update(from: dOut + b * R * C, count: R * C) }
    }
    layerNormBackward(
        dx: dx, dWeight: grads + at.norm1Weight, dBias: grads + at.norm1Bias, a + scratch.norm, x, xStride: C,
        mean: a + acts.mean1, rstd: a + acts.rstd1, weight: p + at.norm1Weight, R: B * T, C: C,
        scratch: a + scratch.slopes)
}
