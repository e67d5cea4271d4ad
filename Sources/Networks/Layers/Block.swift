import TensorCore

/// Where the tensors of one block start in the parameter vector, or in a vector of gradients of the same layout.
struct BlockOffsets: Sendable {
    let norm1Weight, norm1Bias, qkvWeight: Int
    let qkvBias: Int?
    let projWeight, projBias: Int
    let scale1: Int?
    let norm2Weight, norm2Bias, fc1Weight, fc1Bias, fc2Weight, fc2Bias: Int
    let scale2: Int?

    init(_ layout: ParameterLayout, block: Int) {
        func start(_ name: String) -> Int? { layout.start("blocks.\(block).\(name)") }
        func required(_ name: String) -> Int { layout.requiredStart("blocks.\(block).\(name)") }
        norm1Weight = required("norm1.weight")
        norm1Bias = required("norm1.bias")
        qkvWeight = required("attn.qkv.weight")
        qkvBias = start("attn.qkv.bias")
        projWeight = required("attn.proj.weight")
        projBias = required("attn.proj.bias")
        scale1 = start("ls1.gamma")
        norm2Weight = required("norm2.weight")
        norm2Bias = required("norm2.bias")
        fc1Weight = required("mlp.fc1.weight")
        fc1Bias = required("mlp.fc1.bias")
        fc2Weight = required("mlp.fc2.weight")
        fc2Bias = required("mlp.fc2.bias")
        scale2 = start("ls2.gamma")
    }
}

/// Where what the forward pass of one block leaves for the backward pass lies in the arena of activations.
struct BlockActivations: Sendable {
    let norm1, mean1, rstd1, qkv, probabilities, attended, branch1, middle: Int
    let norm2, mean2, rstd2, hidden, branch2, out: Int
    /// The activated hidden layer, which all blocks share: the backward pass computes it again.
    let activated: Int

    init(_ arena: inout ArenaPlan, _ sizes: BlockSizes, activated: Int) {
        let attention = sizes.attention
        let (B, T, R, C, H) = (attention.B, attention.T, attention.R, attention.C, attention.H)
        norm1 = arena.take(B, T, C)
        mean1 = arena.take(B, T)
        rstd1 = arena.take(B, T)
        qkv = arena.take(B, T, 3 * C)
        probabilities = arena.take(B, H, R, T)
        attended = arena.take(B, R, C)
        branch1 = sizes.hasLayerScale ? arena.take(B, R, C) : 0
        middle = arena.take(B, R, C)
        norm2 = arena.take(B, R, C)
        mean2 = arena.take(B, R)
        rstd2 = arena.take(B, R)
        hidden = arena.take(B, R, sizes.M)
        branch2 = sizes.hasLayerScale ? arena.take(B, R, C) : 0
        out = arena.take(B, R, C)
        self.activated = activated
    }
}

/// Where the room that the backward passes of all blocks share lies in the arena of activations.
struct BlockScratch: Sendable {
    let norm, qkv, attended, hidden, branch, scores, slopes: Int

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
        branch = sizes.hasLayerScale ? arena.take(B, T, C) : 0
        scores = arena.take(B, attention.H, T, T)
        slopes = arena.take(layerNormPartCount(R: B * T), 2, C)
    }
}

/// The sizes of one block; `M` is the width of the MLP.
struct BlockSizes {
    let attention: AttentionSizes
    let M: Int
    let eps: Float
    let activation: Activation
    let hasLayerScale: Bool

    /// How far the rows that a block computes lie apart in the stream that it reads: only the first token of an input where `R` is 1.
    var streamStride: Int { attention.R < attention.T ? attention.T * attention.C : attention.C }
}
