// The two branches of a block, which pre-norm and post-norm blocks add to different streams.

/// Adds attention to a stream: `out = stream + scale1 attention(x)`.
///
/// - Shapes: `x` and `stream` `[B, T, C]`, of which the first `R` tokens of an input are added to; `out` `[B, R, C]`; `mask` `[B, T]` or nil.
func attentionBranchForward(
    _ out: UnsafeMutablePointer<Float>, stream: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
    _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>, _ acts: BlockActivations,
    _ sizes: BlockSizes, mask: UnsafePointer<Float>?
) {
    let attention = sizes.attention
    qkvForward(a + acts.qkv, x, weight: p + at.qkvWeight, bias: at.qkvBias.map { p + $0 }, attention)
    attentionForward(a + acts.attended, probabilities: a + acts.probabilities, a + acts.qkv, mask: mask, attention)
    residualForward(
        out, branch: a + acts.branch1, stream, xStride: sizes.streamStride, a + acts.attended,
        weight: p + at.projWeight, bias: p + at.projBias, gamma: at.scale1.map { p + $0 },
        R: attention.B * attention.R, C: attention.C, O: attention.C)
}

/// The gradients of `attentionBranchForward`: adds to those of parameters, and overwrites `dx`; that of the stream is `dOut`.
///
/// - Shapes: `dOut` `[B, R, C]`, `dx` and `x` `[B, T, C]`.
func attentionBranchBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ scratch: BlockScratch, _ sizes: BlockSizes
) {
    let attention = sizes.attention
    residualBackward(
        dInput: a + scratch.attended, dWeight: grads + at.projWeight, dBias: grads + at.projBias,
        dGamma: at.scale1.map { grads + $0 }, dOut, branch: a + acts.branch1, a + acts.attended,
        weight: p + at.projWeight, gamma: at.scale1.map { p + $0 }, scratch: a + scratch.branch,
        R: attention.B * attention.R, C: attention.C, O: attention.C)
    attentionBackward(
        dQKV: a + scratch.qkv, a + scratch.attended, a + acts.qkv, probabilities: a + acts.probabilities,
        scratch: a + scratch.scores, attention)
    qkvBackward(
        dx: dx, dWeight: grads + at.qkvWeight, dBias: at.qkvBias.map { grads + $0 }, a + scratch.qkv, x,
        weight: p + at.qkvWeight, attention)
}

/// Adds the MLP to a stream: `out = stream + scale2 mlp(x)`.
///
/// - Shapes: all `[B, R, C]`.
func mlpBranchForward(
    _ out: UnsafeMutablePointer<Float>, stream: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
    _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>, _ acts: BlockActivations,
    _ sizes: BlockSizes
) {
    let (R, C, M) = (sizes.attention.B * sizes.attention.R, sizes.attention.C, sizes.M)
    linearForward(
        a + acts.hidden, outStride: M, x, xStride: C, weight: p + at.fc1Weight, bias: p + at.fc1Bias, R: R, C: C, O: M)
    activationForward(a + acts.activated, a + acts.hidden, N: R * M, sizes.activation)
    residualForward(
        out, branch: a + acts.branch2, stream, xStride: C, a + acts.activated, weight: p + at.fc2Weight,
        bias: p + at.fc2Bias, gamma: at.scale2.map { p + $0 }, R: R, C: M, O: C)
}

/// The gradients of `mlpBranchForward`: adds to those of parameters; overwrites `dx`, or adds to it where `accumulate` is set; that of
/// the stream is `dOut`.
///
/// - Shapes: all `[B, R, C]`.
func mlpBranchBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ scratch: BlockScratch, _ sizes: BlockSizes, accumulate: Bool
) {
    let (R, C, M) = (sizes.attention.B * sizes.attention.R, sizes.attention.C, sizes.M)
    activationForward(a + acts.activated, a + acts.hidden, N: R * M, sizes.activation)
    residualBackward(
        dInput: a + scratch.hidden, dWeight: grads + at.fc2Weight, dBias: grads + at.fc2Bias,
        dGamma: at.scale2.map { grads + $0 }, dOut, branch: a + acts.branch2, a + acts.activated,
        weight: p + at.fc2Weight, gamma: at.scale2.map { p + $0 }, scratch: a + scratch.branch, R: R, C: M, O: C)
    activationBackward(a + scratch.hidden, a + acts.hidden, N: R * M, sizes.activation)
    linearBackward(
        dx: dx, dWeight: grads + at.fc1Weight, dBias: grads + at.fc1Bias, a + scratch.hidden, outStride: M, x,
        xStride: C, weight: p + at.fc1Weight, R: R, C: C, O: M, accumulate: accumulate)
}
