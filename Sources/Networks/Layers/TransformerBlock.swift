import TensorCore

/// Where the tensors of one block start in the parameter vector, or in a vector of gradients of the same layout.
struct BlockOffsets: Sendable {
    let norm1Weight, norm1Bias, qkvWeight: Int
    let qkvBias: Int?
    let projWeight, projBias, norm2Weight, norm2Bias, fc1Weight, fc1Bias, fc2Weight, fc2Bias: Int

    init(_ layout: ParameterLayout, block: Int) {
        func start(_ name: String) -> Int? { layout[TensorName("blocks.\(block).\(name)")]?.range.lowerBound }
        func required(_ name: String) -> Int {
            guard let offset = start(name) else { preconditionFailure("the layout has no \(name)") }
            return offset
        }
        norm1Weight = required("norm1.weight")
        norm1Bias = required("norm1.bias")
        qkvWeight = required("attn.qkv.weight")
        qkvBias = start("attn.qkv.bias")
        projWeight = required("attn.proj.weight")
        projBias = required("attn.proj.bias")
        norm2Weight = required("norm2.weight")
        norm2Bias = required("norm2.bias")
        fc1Weight = required("mlp.fc1.weight")
        fc1Bias = required("mlp.fc1.bias")
        fc2Weight = required("mlp.fc2.weight")
        fc2Bias = required("mlp.fc2.bias")
    }
}

/// Where what the forward pass of one block leaves for the backward pass lies in the arena of activations.
struct BlockActivations: Sendable {
    let norm1, mean1, rstd1, qkv, probabilities, attended, middle, norm2, mean2, rstd2, hidden, slope, out: Int

    init(_ arena: inout ArenaPlan, _ sizes: BlockSizes) {
        let attention = sizes.attention
        let (B, T, R, C, H) = (attention.B, attention.T, attention.R, attention.C, attention.H)
        norm1 = arena.take(B, T, C)
        mean1 = arena.take(B, T)
        rstd1 = arena.take(B, T)
        qkv = arena.take(B, T, 3 * C)
        probabilities = arena.take(B, H, R, T)
        attended = arena.take(B, R, C)
        middle = arena.take(B, R, C)
        norm2 = arena.take(B, R, C)
        mean2 = arena.take(B, R)
        rstd2 = arena.take(B, R)
        hidden = arena.take(B, R, sizes.M)
        slope = arena.take(B, R, sizes.M)
        out = arena.take(B, R, C)
    }
}

/// Where the room that the backward passes of all blocks share lies in the arena of activations.
struct BlockScratch: Sendable {
    let norm, qkv, attended, hidden, scores, row: Int

    /// Plans the activations of a block.
    ///
    /// - Parameter sizes: those of a block with all queries, the largest.
    init(_ arena: inout ArenaPlan, _ sizes: BlockSizes) {
        let attention = sizes.attention
        let (B, T, C) = (attention.B, attention.T, attention.C)
        norm = arena.take(B, T, C)
        qkv = arena.take(B, T, 3 * C)
        attended = arena.take(B, T, C)
        hidden = arena.take(B, T, sizes.M)
        scores = arena.take(T, T)
        row = arena.take(C)
    }
}

/// The sizes of one block; `M` is the width of the MLP.
struct BlockSizes {
    let attention: AttentionSizes
    let M: Int
    let eps: Float
    let activation: Activation
}

/// Applies one pre-norm block: `y = x + attention(norm1(x))`, `out = y + mlp(norm2(y))`.
///
/// - Shapes: `x` `[B, T, C]`; the output, at `acts.out`, `[B, R, C]`, the first `R` tokens of every image.
/// - Source: Dosovitskiy et al. 2020, arXiv:2010.11929.
func blockForward(
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ sizes: BlockSizes
) {
    let attention = sizes.attention
    let (B, T, R, C, M) = (attention.B, attention.T, attention.R, attention.C, sizes.M)
    layerNormForward(
        a + acts.norm1, mean: a + acts.mean1, rstd: a + acts.rstd1, x, xStride: C, weight: p + at.norm1Weight,
        bias: p + at.norm1Bias, R: B * T, C: C, eps: sizes.eps)
    qkvForward(a + acts.qkv, a + acts.norm1, weight: p + at.qkvWeight, bias: at.qkvBias.map { p + $0 }, attention)
    attentionForward(a + acts.attended, probabilities: a + acts.probabilities, a + acts.qkv, attention)
    for b in 0..<B { (a + acts.middle + b * R * C).update(from: x + b * T * C, count: R * C) }
    linearForward(
        a + acts.middle, outStride: C, a + acts.attended, xStride: C, weight: p + at.projWeight, bias: p + at.projBias,
        R: B * R,
        C: C, O: C, accumulate: true)
    layerNormForward(
        a + acts.norm2, mean: a + acts.mean2, rstd: a + acts.rstd2, a + acts.middle, xStride: C,
        weight: p + at.norm2Weight,
        bias: p + at.norm2Bias, R: B * R, C: C, eps: sizes.eps)
    linearForward(
        a + acts.hidden, outStride: M, a + acts.norm2, xStride: C, weight: p + at.fc1Weight, bias: p + at.fc1Bias,
        R: B * R,
        C: C, O: M)
    activationForward(a + acts.hidden, slope: a + acts.slope, N: B * R * M, sizes.activation)
    (a + acts.out).update(from: a + acts.middle, count: B * R * C)
    linearForward(
        a + acts.out, outStride: C, a + acts.hidden, xStride: M, weight: p + at.fc2Weight, bias: p + at.fc2Bias,
        R: B * R, C: M,
        O: C, accumulate: true)
}

/// The gradients of `blockForward`: overwrites the block's part of `grads` and `dx`; `dOut` is used up.
///
/// - Shapes: `dOut` `[B, R, C]`, `dx` `[B, T, C]`. They are one buffer where `R = T`, and apart otherwise.
func blockBackward(
    dx: UnsafeMutablePointer<Float>, _ dOut: UnsafeMutablePointer<Float>, grads: UnsafeMutablePointer<Float>,
    _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ at: BlockOffsets, _ a: UnsafeMutablePointer<Float>,
    _ acts: BlockActivations, _ scratch: BlockScratch, _ sizes: BlockSizes
) {
    let attention = sizes.attention
    let (B, T, R, C, M) = (attention.B, attention.T, attention.R, attention.C, sizes.M)
    linearBackward(
        dx: a + scratch.hidden, dWeight: grads + at.fc2Weight, dBias: grads + at.fc2Bias, dOut, outStride: C,
        a + acts.hidden,
        xStride: M, weight: p + at.fc2Weight, R: B * R, C: M, O: C)
    activationBackward(a + scratch.hidden, slope: a + acts.slope, N: B * R * M)
    linearBackward(
        dx: a + scratch.norm, dWeight: grads + at.fc1Weight, dBias: grads + at.fc1Bias, a + scratch.hidden,
        outStride: M,
        a + acts.norm2, xStride: C, weight: p + at.fc1Weight, R: B * R, C: C, O: M)
    // From here on dOut is the gradient of the stream between attention and MLP.
    layerNormBackward(
        dx: dOut, dWeight: grads + at.norm2Weight, dBias: grads + at.norm2Bias, a + scratch.norm, a + acts.middle,
        xStride: C,
        mean: a + acts.mean2, rstd: a + acts.rstd2, weight: p + at.norm2Weight, R: B * R, C: C, scratch: a + scratch.row
    )
    linearBackward(
        dx: a + scratch.attended, dWeight: grads + at.projWeight, dBias: grads + at.projBias, dOut, outStride: C,
        a + acts.attended, xStride: C, weight: p + at.projWeight, R: B * R, C: C, O: C)
    attentionBackward(
        dQKV: a + scratch.qkv, a + scratch.attended, a + acts.qkv, probabilities: a + acts.probabilities,
        scratch: a + scratch.scores,
        attention)
    qkvBackward(
        dx: a + scratch.norm, dWeight: grads + at.qkvWeight, dBias: at.qkvBias.map { grads + $0 }, a + scratch.qkv,
        a + acts.norm1,
        weight: p + at.qkvWeight, attention)
    if R < T {
        dx.update(repeating: 0, count: B * T * C)
        for b in 0..<B { (dx + b * T * C).update(from: dOut + b * R * C, count: R * C) }
    }
    layerNormBackward(
        dx: dx, dWeight: grads + at.norm1Weight, dBias: grads + at.norm1Bias, a + scratch.norm, x, xStride: C,
        mean: a + acts.mean1, rstd: a + acts.rstd1, weight: p + at.norm1Weight, R: B * T, C: C, scratch: a + scratch.row
    )
}
