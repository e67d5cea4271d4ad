/// Applies one pre-norm block: `y = x + scale1 attention(norm1(x))`, `out = y + scale2 mlp(norm2(y))`.
///
/// - Shapes: `x` `[B, T, C]`; the output, at `acts.out`, `[B, R, C]`, the first `R` tokens of every input; `mask` `[B, T]` or nil.
/// - Source: Dosovitskiy et al. 2020, arXiv:2010.11929.
func preNormForward(
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ sizes: BlockSizes, mask: UnsafePointer<Float>?
) {
    let attention = sizes.attention
    let (B, T, R, C, M) = (attention.B, attention.T, attention.R, attention.C, sizes.M)
    layerNormForward(
        a + acts.norm1, mean: a + acts.mean1, rstd: a + acts.rstd1, x, xStride: C, weight: p + at.norm1Weight,
        bias: p + at.norm1Bias, R: B * T, C: C, eps: sizes.eps)
    qkvForward(a + acts.qkv, a + acts.norm1, weight: p + at.qkvWeight, bias: at.qkvBias.map { p + $0 }, attention)
    attentionForward(
        a + acts.attended, probabilities: a + acts.probabilities, a + acts.qkv, mask: mask, attention)
    residualForward(
        a + acts.middle, branch: a + acts.branch1, x, xStride: sizes.rows.stride, a + acts.attended,
        weight: p + at.projWeight, bias: p + at.projBias, gamma: at.scale1.map { p + $0 }, R: B * R, C: C, O: C)
    layerNormForward(
        a + acts.norm2, mean: a + acts.mean2, rstd: a + acts.rstd2, a + acts.middle, xStride: C,
        weight: p + at.norm2Weight, bias: p + at.norm2Bias, R: B * R, C: C, eps: sizes.eps)
    linearForward(
        a + acts.hidden, outStride: M, a + acts.norm2, xStride: C, weight: p + at.fc1Weight, bias: p + at.fc1Bias,
        R: B * R, C: C, O: M)
    activationForward(a + acts.activated, a + acts.hidden, N: B * R * M, sizes.activation)
    residualForward(
        a + acts.out, branch: a + acts.branch2, a + acts.middle, xStride: C, a + acts.activated,
        weight: p + at.fc2Weight, bias: p + at.fc2Bias, gamma: at.scale2.map { p + $0 }, R: B * R, C: M, O: C)
}

/// The gradients of `preNormForward`: adds to the block's part of `grads` and overwrites `dx`; `dOut` is used up.
///
/// - Shapes: `dOut` `[B, R, C]`, `dx` `[B, T, C]`. They may be one buffer where `R = T`.
func preNormBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafeMutablePointer<Float>, grads: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ scratch: BlockScratch, _ sizes: BlockSizes
) {
    let attention = sizes.attention
    let (B, T, R, C, M) = (attention.B, attention.T, attention.R, attention.C, sizes.M)
    activationForward(a + acts.activated, a + acts.hidden, N: B * R * M, sizes.activation)
    residualBackward(
        dInput: a + scratch.hidden, dWeight: grads + at.fc2Weight, dBias: grads + at.fc2Bias,
        dGamma: at.scale2.map { grads + $0 }, dOut, branch: a + acts.branch2, a + acts.activated,
        weight: p + at.fc2Weight, gamma: at.scale2.map { p + $0 }, scratch: a + scratch.branch, R: B * R, C: M, O: C)
    activationBackward(a + scratch.hidden, a + acts.hidden, N: B * R * M, sizes.activation)
    linearBackward(
        dx: a + scratch.norm, dWeight: grads + at.fc1Weight, dBias: grads + at.fc1Bias, a + scratch.hidden,
        outStride: M, a + acts.norm2, xStride: C, weight: p + at.fc1Weight, R: B * R, C: C, O: M)
    // From here on dOut is the gradient of the stream between attention and MLP.
    layerNormBackward(
        dx: dOut, dWeight: grads + at.norm2Weight, dBias: grads + at.norm2Bias, a + scratch.norm, a + acts.middle,
        xStride: C, mean: a + acts.mean2, rstd: a + acts.rstd2, weight: p + at.norm2Weight, R: B * R, C: C,
        scratch: a + scratch.slopes)
    residualBackward(
        dInput: a + scratch.attended, dWeight: grads + at.projWeight, dBias: grads + at.projBias,
        dGamma: at.scale1.map { grads + $0 }, dOut, branch: a + acts.branch1, a + acts.attended,
        weight: p + at.projWeight, gamma: at.scale1.map { p + $0 }, scratch: a + scratch.branch, R: B * R, C: C, O: C)
    attentionBackward(
        dQKV: a + scratch.qkv, a + scratch.attended, a + acts.qkv, probabilities: a + acts.probabilities,
        scratch: a + scratch.scores, attention)
    qkvBackward(
        dx: a + scratch.norm, dWeight: grads + at.qkvWeight, dBias: at.qkvBias.map { grads + $0 }, a + scratch.qkv,
        a + acts.norm1, weight: p + at.qkvWeight, attention)
    if dx != dOut {
        dx.update(repeating: 0, count: B * T * C)
        for b in 0..<B { (dx + b * T * C).update(from: dOut + b * R * C, count: R * C) }
    }
    layerNormBackward(
        dx: dx, dWeight: grads + at.norm1Weight, dBias: grads + at.norm1Bias, a + scratch.norm, x, xStride: C,
        mean: a + acts.mean1, rstd: a + acts.rstd1, weight: p + at.norm1Weight, R: B * T, C: C,
        scratch: a + scratch.slopes)
}
