/// Applies one post-norm block: `y = norm1(x + scale1 attention(x))`, `out = norm2(y + scale2 mlp(y))`.
///
/// - Shapes: `x` `[B, T, C]`; the output, at `acts.out`, `[B, R, C]`, the first `R` tokens of every input. `mask` `[B, T]` or nil.
/// - Source: Vaswani et al. 2017, arXiv:1706.03762; Devlin et al. 2018, arXiv:1810.04805.
func postNormForward(
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ sizes: BlockSizes, mask: UnsafePointer<Float>?
) {
    let (R, C) = (sizes.attention.B * sizes.attention.R, sizes.attention.C)
    attentionBranchForward(a + acts.middle, stream: x, x, p, at, a, acts, sizes, mask: mask)
    layerNormForward(
        a + acts.norm1, mean: a + acts.mean1, rstd: a + acts.rstd1, a + acts.middle, xStride: C,
        weight: p + at.norm1Weight, bias: p + at.norm1Bias, R: R, C: C, eps: sizes.eps)
    mlpBranchForward(a + acts.norm2, stream: a + acts.norm1, a + acts.norm1, p, at, a, acts, sizes)
    layerNormForward(
        a + acts.out, mean: a + acts.mean2, rstd: a + acts.rstd2, a + acts.norm2, xStride: C,
        weight: p + at.norm2Weight, bias: p + at.norm2Bias, R: R, C: C, eps: sizes.eps)
}

/// The gradients of `postNormForward`: adds to the block's part of `grads` and overwrites `dx`; `dOut` is used up.
///
/// - Shapes: `dOut` `[B, R, C]`, `dx` `[B, T, C]`. They may be one buffer where `R = T`.
func postNormBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafeMutablePointer<Float>, grads: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ scratch: BlockScratch, _ sizes: BlockSizes
) {
    let (B, T, R, C) = (sizes.attention.B, sizes.attention.T, sizes.attention.R, sizes.attention.C)
    // The gradient of the sum that the last norm reads, then of the first norm's output.
    let dSum = a + scratch.norm
    dSum.update(repeating: 0, count: B * R * C)
    layerNormBackward(
        dx: dSum, dWeight: grads + at.norm2Weight, dBias: grads + at.norm2Bias, dOut, a + acts.norm2, xStride: C,
        mean: a + acts.mean2, rstd: a + acts.rstd2, weight: p + at.norm2Weight, R: B * R, C: C,
        scratch: a + scratch.slopes)
    mlpBranchBackward(
        dx: dSum, dSum, grads: grads, a + acts.norm1, p, at, a, acts, scratch, sizes, accumulate: true)
    // From here on dOut is the gradient of the sum that the first norm reads.
    dOut.update(repeating: 0, count: B * R * C)
    layerNormBackward(
        dx: dOut, dWeight: grads + at.norm1Weight, dBias: grads + at.norm1Bias, dSum, a + acts.middle, xStride: C,
        mean: a + acts.mean1, rstd: a + acts.rstd1, weight: p + at.norm1Weight, R: B * R, C: C,
        scratch: a + scratch.slopes)
    attentionBranchBackward(dx: a + scratch.norm, dOut, grads: grads, x, p, at, a, acts, scratch, sizes)
    let direct = a + scratch.norm
    guard dx != dOut else {
        for i in 0..<(B * T * C) { dx[i] += direct[i] }
        return
    }
    dx.update(from: direct, count: B * T * C)
    for b in 0..<B {
        let (target, slope) = (dx + b * T * C, dOut + b * R * C)
        for i in 0..<(R * C) { target[i] += slope[i] }
    }
}
