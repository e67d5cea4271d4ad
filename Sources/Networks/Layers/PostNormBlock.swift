/// Applies one post-norm block: `y = norm1(x + scale1 attention(x))`, `out = norm2(y + scale2 mlp(y))`.
///
/// - Shapes: `x` `[B, T, C]`; the output, at `acts.out`, `[B, R, C]`, the first `R` tokens of every input. `mask` `[B, T]` or nil.
/// - Source: Vaswani et al. 2017, arXiv:1706.03762; Devlin et al. 2018, arXiv:1810.04805.
func postNormForward(
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ sizes: BlockSizes, mask: UnsafePointer<Float>?
) {
    let attention = sizes.attention
    let (B, R, C, M) = (attention.B, attention.R, attention.C, sizes.M)
    qkvForward(a + acts.qkv, x, weight: p + at.qkvWeight, bias: at.qkvBias.map { p + $0 }, attention)
    attentionForward(
        a + acts.attended, probabilities: a + acts.probabilities, a + acts.qkv, mask: mask, attention)
    residualForward(
        a + acts.middle, branch: a + acts.branch1, x, xStride: sizes.rows.stride, a + acts.attended,
        weight: p + at.projWeight, bias: p + at.projBias, gamma: at.scale1.map { p + $0 }, R: B * R, C: C, O: C)
    layerNormForward(
        a + acts.norm1, mean: a + acts.mean1, rstd: a + acts.rstd1, a + acts.middle, xStride: C,
        weight: p + at.norm1Weight, bias: p + at.norm1Bias, R: B * R, C: C, eps: sizes.eps)
    linearForward(
        a + acts.hidden, outStride: M, a + acts.norm1, xStride: C, weight: p + at.fc1Weight, bias: p + at.fc1Bias,
        R: B * R, C: C, O: M)
    activationForward(a + acts.activated, a + acts.hidden, N: B * R * M, sizes.activation)
    residualForward(
        a + acts.norm2, branch: a + acts.branch2, a + acts.norm1, xStride: C, a + acts.activated,
        weight: p + at.fc2Weight, bias: p + at.fc2Bias, gamma: at.scale2.map { p + $0 }, R: B * R, C: M, O: C)
    layerNormForward(
        a + acts.out, mean: a + acts.mean2, rstd: a + acts.rstd2, a + acts.norm2, xStride: C,
        weight: p + at.norm2Weight, bias: p + at.norm2Bias, R: B * R, C: C, eps: sizes.eps)
}

/// The gradients of `postNormForward`: adds to the block's part of `grads` and overwrites `dx`; `dOut` is used up.
///
/// - Shapes: `dOut` `[B, R, C]`, `dx` `[B, T, C]`. They may be one buffer where `R = T`.
func postNormBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafeMutablePointer<Float>, grads: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ scratch: BlockScratch, _ sizes: BlockSizes
) {
    let attention = sizes.attention
    let (B, T, R, C, M) = (attention.B, attention.T, attention.R, attention.C, sizes.M)
    // The gradient of the sum that the last norm reads, then of the first norm's output.
    let dSum = a + scratch.norm
    dSum.update(repeating: 0, count: B * R * C)
    layerNormBackward(
        dx: dSum, dWeight: grads + at.norm2Weight, dBias: grads + at.norm2Bias, dOut, a + acts.norm2, xStride: C,
        mean: a + acts.mean2, rstd: a + acts.rstd2, weight: p + at.norm2Weight, R: B * R, C: C,
        scratch: a + scratch.slopes)
    activationForward(a + acts.activated, a + acts.hidden, N: B * R * M, sizes.activation)
    residualBackward(
        dInput: a + scratch.hidden, dWeight: grads + at.fc2Weight, dBias: grads + at.fc2Bias,
        dGamma: at.scale2.map { grads + $0 }, dSum, branch: a + acts.branch2, a + acts.activated,
        weight: p + at.fc2Weight, gamma: at.scale2.map { p + $0 }, scratch: a + scratch.branch, R: B * R, C: M, O: C)
    activationBackward(a + scratch.hidden, a + acts.hidden, N: B * R * M, sizes.activation)
    linearBackward(
        dx: dSum, dWeight: grads + at.fc1Weight, dBias: grads + at.fc1Bias, a + scratch.hidden, outStride: M,
        a + acts.norm1, xStride: C, weight: p + at.fc1Weight, R: B * R, C: C, O: M, accumulate: true)
    // From here on dOut is the gradient of the sum that the first norm reads.
    dOut.update(repeating: 0, count: B * R * C)
    layerNormBackward(
        dx: dOut, dWeight: grads + at.norm1Weight, dBias: grads + at.norm1Bias, dSum, a + acts.middle, xStride: C,
        mean: a + acts.mean1, rstd: a + acts.rstd1, weight: p + at.norm1Weight, R: B * R, C: C,
        scratch: a + scratch.slopes)
    residualBackward(
        dInput: a + scratch.attended, dWeight: grads + at.projWeight, dBias: grads + at.projBias,
        dGamma: at.scale1.map { grads + $0 }, dOut, branch: a + acts.branch1, a + acts.attended,
        weight: p + at.projWeight, gamma: at.scale1.map { p + $0 }, scratch: a + scratch.branch, R: B * R, C: C, O: C)
    attentionBackward(
        dQKV: a + scratch.qkv, a + scratch.attended, a + acts.qkv, probabilities: a + acts.probabilities,
        scratch: a + scratch.scores, attention)
    qkvBackward(
        dx: a + scratch.norm, dWeight: grads + at.qkvWeight, dBias: at.qkvBias.map { grads + $0 }, a + scratch.qkv, x,
        weight: p + at.qkvWeight, attention)
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
