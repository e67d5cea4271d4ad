/// Where the tensors of an attention pooling start in the parameter vector, or in one of gradients.
struct AttentionPoolingOffsets: Sendable {
    let latent, qkvWeight, qkvBias, projWeight, projBias, normWeight, normBias: Int
    let fc1Weight, fc1Bias, fc2Weight, fc2Bias: Int

    init(_ layout: ParameterLayout) {
        func required(_ name: String) -> Int { layout.requiredStart("attn_pool." + name) }
        latent = required("latent")
        qkvWeight = required("qkv.weight")
        qkvBias = required("qkv.bias")
        projWeight = required("proj.weight")
        projBias = required("proj.bias")
        normWeight = required("norm.weight")
        normBias = required("norm.bias")
        fc1Weight = required("mlp.fc1.weight")
        fc1Bias = required("mlp.fc1.bias")
        fc2Weight = required("mlp.fc2.weight")
        fc2Bias = required("mlp.fc2.bias")
    }
}

/// Where what the forward pass leaves for the backward pass lies in the arena of activations.
struct AttentionPoolingActivations: Sendable {
    let query, qkv, probabilities, attended, middle, norm, mean, rstd, hidden, activated, out: Int

    init(_ arena: inout ArenaPlan, _ sizes: BlockSizes) {
        let attention = sizes.attention
        let (B, T, C) = (attention.B, attention.T, attention.C)
        query = arena.take(C)
        qkv = arena.take(B, T, 3 * C)
        probabilities = arena.take(B, attention.H, T)
        attended = arena.take(B, C)
        middle = arena.take(B, C)
        norm = arena.take(B, C)
        mean = arena.take(B)
        rstd = arena.take(B)
        hidden = arena.take(B, sizes.M)
        activated = arena.take(B, sizes.M)
        out = arena.take(B, C)
    }
}

/// Pools the tokens of every input by attention from one learned query: `y = attention(latent, x)`, `out = y + mlp(norm(y))`.
///
/// - Shapes: `x` `[B, T, C]`; the output, at `acts.out`, `[B, C]`.
/// - Parameter sizes: those of a block with one query an input.
/// - Source: Zhai et al. 2022, arXiv:2106.04560, as SigLIP has it.
func attentionPoolingForward(
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: AttentionPoolingOffsets,
    _ a: UnsafeMutablePointer<Float>, _ acts: AttentionPoolingActivations, _ sizes: BlockSizes
) {
    let attention = sizes.attention
    let (B, T, C, M) = (attention.B, attention.T, attention.C, sizes.M)
    linearForward(
        a + acts.query, outStride: C, p + at.latent, xStride: C, weight: p + at.qkvWeight, bias: p + at.qkvBias, R: 1,
        C: C, O: C)
    linearForward(
        a + acts.qkv + C, outStride: 3 * C, x, xStride: C, weight: p + at.qkvWeight + C * C, bias: p + at.qkvBias + C,
        R: B * T, C: C, O: 2 * C)
    for b in 0..<B { (a + acts.qkv + b * T * 3 * C).update(from: a + acts.query, count: C) }
    attentionForward(a + acts.attended, probabilities: a + acts.probabilities, a + acts.qkv, attention)
    linearForward(
        a + acts.middle, outStride: C, a + acts.attended, xStride: C, weight: p + at.projWeight,
        bias: p + at.projBias, R: B, C: C, O: C)
    layerNormForward(
        a + acts.norm, mean: a + acts.mean, rstd: a + acts.rstd, a + acts.middle, xStride: C,
        weight: p + at.normWeight, bias: p + at.normBias, R: B, C: C, eps: sizes.eps)
    linearForward(
        a + acts.hidden, outStride: M, a + acts.norm, xStride: C, weight: p + at.fc1Weight, bias: p + at.fc1Bias,
        R: B, C: C, O: M)
    activationForward(a + acts.activated, a + acts.hidden, N: B * M, sizes.activation)
    residualForward(
        a + acts.out, branch: a + acts.out, a + acts.middle, xStride: C, a + acts.activated, weight: p + at.fc2Weight,
        bias: p + at.fc2Bias, gamma: nil, R: B, C: M, O: C)
}

/// The gradients of `attentionPoolingForward`: adds to its part of `grads` and overwrites `dx`; `dOut` is used up.
///
/// - Shapes: `dOut` `[B, C]`, `dx` and `x` `[B, T, C]`.
func attentionPoolingBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafeMutablePointer<Float>, grads: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: AttentionPoolingOffsets,
    _ a: UnsafeMutablePointer<Float>, _ acts: AttentionPoolingActivations, _ scratch: BlockScratch,
    _ sizes: BlockSizes
) {
    let attention = sizes.attention
    let (B, T, C, M) = (attention.B, attention.T, attention.C, sizes.M)
    linearBackward(
        dx: a + scratch.hidden, dWeight: grads + at.fc2Weight, dBias: grads + at.fc2Bias, dOut, outStride: C,
        a + acts.activated, xStride: M, weight: p + at.fc2Weight, R: B, C: M, O: C)
    activationBackward(a + scratch.hidden, a + acts.hidden, N: B * M, sizes.activation)
    linearBackward(
        dx: a + scratch.attended, dWeight: grads + at.fc1Weight, dBias: grads + at.fc1Bias, a + scratch.hidden,
        outStride: M, a + acts.norm, xStride: C, weight: p + at.fc1Weight, R: B, C: C, O: M)
    // From here on dOut is the gradient of what attention makes.
    layerNormBackward(
        dx: dOut, dWeight: grads + at.normWeight, dBias: grads + at.normBias, a + scratch.attended, a + acts.middle,
        xStride: C, mean: a + acts.mean, rstd: a + acts.rstd, weight: p + at.normWeight, R: B, C: C,
        scratch: a + scratch.slopes)
    linearBackward(
        dx: a + scratch.attended, dWeight: grads + at.projWeight, dBias: grads + at.projBias, dOut, outStride: C,
        a + acts.attended, xStride: C, weight: p + at.projWeight, R: B, C: C, O: C)
    attentionBackward(
        dQKV: a + scratch.qkv, a + scratch.attended, a + acts.qkv, probabilities: a + acts.probabilities,
        scratch: a + scratch.scores, attention)
    // The query is the same for all inputs.
    let dQuery = a + scratch.attended
    dQuery.update(repeating: 0, count: C)
    addRows(dQuery, a + scratch.qkv, stride: T * 3 * C, R: B, C: C)
    linearBackward(
        dx: grads + at.latent, dWeight: grads + at.qkvWeight, dBias: grads + at.qkvBias, dQuery,
        outStride: C, p + at.latent, xStride: C, weight: p + at.qkvWeight, R: 1, C: C, O: C, accumulate: true)
    linearBackward(
        dx: dx, dWeight: grads + at.qkvWeight + C * C, dBias: grads + at.qkvBias + C, a + scratch.qkv + C,
        outStride: 3 * C, x, xStride: C, weight: p + at.qkvWeight + C * C, R: B * T, C: C, O: 2 * C)
}
