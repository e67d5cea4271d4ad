import Kernels
import TensorCore

/// The arena of activations of one worker, and the passes of a vision transformer that run in it.
///
/// Everything is allocated when the object is made. An image keeps what its layers need for the backward pass only where
/// the purpose is training; in inference two blocks' worth of room alternate.
///
/// Safety: one thread at a time may use a workspace.
package final class TransformerWorkspace: NetworkWorkspace, @unchecked Sendable {
    /// The most images of one pass.
    package let capacity: Int
    private let model: VisionTransformer
    private let plan: TransformerPlan
    private let arena: FloatBuffer
    /// The images of the last pass.
    private var imageCount = 0

    /// Takes memory for the activations of a batch.
    ///
    /// - Throws: `NetworkError` `network.memory` when the activations do not fit.
    init(_ model: VisionTransformer, capacity: Int, purpose: WorkspacePurpose) throws(NetworkError) {
        let rows = capacity.multipliedReportingOverflow(by: model.config.tokenCount)
        guard !rows.overflow, rows.partialValue <= largestMatrixDimension else {
            throw NetworkError(
                .memory, "\(capacity) images of \(model.config.tokenCount) tokens are too many at once",
                hint: "use a smaller batch")
        }
        self.capacity = capacity
        self.model = model
        plan = TransformerPlan(model.config, capacity: capacity, purpose: purpose)
        do { arena = try FloatBuffer(count: plan.count) } catch { throw NetworkError(error) }
    }

    /// The numbers in the arena.
    package var elementCount: Int { arena.count }

    package func forward(
        _ p: UnsafePointer<Float>, _ inputs: InputSet, rows: UnsafeBufferPointer<Int>
    ) -> UnsafePointer<Float> {
        let B = rows.count
        precondition(B <= capacity, "more images than the workspace was planned for")
        imageCount = B
        let a = arena.pointer
        let config = model.config
        let at = model.offsets
        let (T, C) = (config.tokenCount, config.hiddenSize)
        let patches = PatchSizes(
            B: B, C: config.channels, h: config.imageHeight, w: config.imageWidth, P: config.patchSize)
        switch inputs {
        case .images(let images): gatherPatches(a + plan.patches, images, rows: rows, patches)
        }
        patchEmbeddingForward(
            a + plan.embedded, patches: a + plan.patches, weight: p + at.patchWeight, bias: at.patchBias.map { p + $0 },
            cls: p + at.cls, position: p + at.position, patches, O: C)
        if let weight = at.preNormWeight, let bias = at.preNormBias {
            layerNormForward(
                a + plan.stream, mean: a + plan.preMean, rstd: a + plan.preRstd, a + plan.embedded, xStride: C,
                weight: p + weight, bias: p + bias, R: B * T, C: C, eps: config.layerNormEps)
        }
        for (block, acts) in plan.blocks.enumerated() {
            blockForward(a + plan.input(of: block), p, at.blocks[block], a, acts, sizes(of: block, B))
        }
        return pool(p, a, B)
    }

    package func backward(
        _ p: UnsafePointer<Float>, dFeatures: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>
    ) {
        let B = imageCount
        guard let scratch = plan.scratch else { preconditionFailure("the workspace was planned for inference") }
        let a = arena.pointer
        let config = model.config
        let at = model.offsets
        let (T, C) = (config.tokenCount, config.hiddenSize)
        unpool(dFeatures, p, a, grads: grads, scratch, B)
        var dOut = a + scratch.last
        for block in plan.blocks.indices.reversed() {
            let dx = a + scratch.stream
            blockBackward(
                dx: dx, dOut, grads: grads, a + plan.input(of: block), p, at.blocks[block], a, plan.blocks[block],
                scratch.block, sizes(of: block, B))
            dOut = dx
        }
        if let weight = at.preNormWeight, let bias = at.preNormBias {
            let dEmbedded = a + scratch.block.norm
            dEmbedded.update(repeating: 0, count: B * T * C)
            layerNormBackward(
                dx: dEmbedded, dWeight: grads + weight, dBias: grads + bias, dOut, a + plan.embedded, xStride: C,
                mean: a + plan.preMean, rstd: a + plan.preRstd, weight: p + weight, R: B * T, C: C,
                scratch: a + scratch.block.row)
            dOut = dEmbedded
        }
        let patches = PatchSizes(
            B: B, C: config.channels, h: config.imageHeight, w: config.imageWidth, P: config.patchSize)
        patchEmbeddingBackward(
            dWeight: grads + at.patchWeight, dBias: at.patchBias.map { grads + $0 }, dCls: grads + at.cls,
            dPosition: grads + at.position, dOut, patches: a + plan.patches, patches, O: C)
    }

    /// From the tokens of the last block to the features.
    private func pool(
        _ p: UnsafePointer<Float>, _ a: UnsafeMutablePointer<Float>, _ B: Int
    ) -> UnsafePointer<Float> {
        let config = model.config
        let (T, C) = (config.tokenCount, config.hiddenSize)
        let last = a + plan.input(of: plan.blocks.count)
        switch (config.pooling, config.finalNorm) {
        case (.cls, _):
            normalise(a + plan.feature, last, p, a, R: B)
        case (.mean, .beforePooling):
            normalise(a + plan.pooled, last, p, a, R: B * T)
            meanPoolingForward(a + plan.feature, a + plan.pooled, B: B, T: T, C: C)
        case (.mean, .afterPooling):
            meanPoolingForward(a + plan.pooled, last, B: B, T: T, C: C)
            normalise(a + plan.feature, a + plan.pooled, p, a, R: B)
        }
        guard let projection = model.offsets.projection else { return UnsafePointer(a + plan.feature) }
        linearForward(
            a + plan.projected, outStride: config.featureSize, a + plan.feature, xStride: C, weight: p + projection,
            bias: nil, R: B, C: C, O: config.featureSize)
        return UnsafePointer(a + plan.projected)
    }

    /// The gradients of `pool`: leaves that of the last block's tokens in `scratch.last`.
    private func unpool(
        _ dFeatures: UnsafePointer<Float>, _ p: UnsafePointer<Float>, _ a: UnsafeMutablePointer<Float>,
        grads: UnsafeMutablePointer<Float>, _ scratch: TransformerPlan.Scratch, _ B: Int
    ) {
        let config = model.config
        let (T, C) = (config.tokenCount, config.hiddenSize)
        var dPooled = dFeatures
        if let projection = model.offsets.projection {
            linearBackward(
                dx: a + scratch.pooled, dWeight: grads + projection, dBias: nil, dFeatures,
                outStride: config.featureSize, a + plan.feature, xStride: C, weight: p + projection, R: B, C: C,
                O: config.featureSize)
            dPooled = UnsafePointer(a + scratch.pooled)
        }
        let last = a + plan.input(of: plan.blocks.count)
        let dLast = a + scratch.last
        switch (config.pooling, config.finalNorm) {
        case (.cls, _):
            dLast.update(repeating: 0, count: B * C)
            denormalise(dLast, dPooled, last, p, a, grads: grads, scratch, R: B)
        case (.mean, .beforePooling):
            meanPoolingBackward(dx: a + scratch.block.norm, dPooled, B: B, T: T, C: C)
            dLast.update(repeating: 0, count: B * T * C)
            denormalise(dLast, a + scratch.block.norm, last, p, a, grads: grads, scratch, R: B * T)
        case (.mean, .afterPooling):
            let dMean = a + scratch.block.norm
            dMean.update(repeating: 0, count: B * C)
            denormalise(dMean, dPooled, a + plan.pooled, p, a, grads: grads, scratch, R: B)
            meanPoolingBackward(dx: dLast, dMean, B: B, T: T, C: C)
        }
    }

    private func normalise(
        _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, _ p: UnsafePointer<Float>,
        _ a: UnsafeMutablePointer<Float>, R: Int
    ) {
        layerNormForward(
            out, mean: a + plan.mean, rstd: a + plan.rstd, x, xStride: model.config.hiddenSize,
            weight: p + model.offsets.normWeight, bias: p + model.offsets.normBias, R: R, C: model.config.hiddenSize,
            eps: model.config.layerNormEps)
    }

    private func denormalise(
        _ dx: UnsafeMutablePointer<Float>, _ dOut: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
        _ p: UnsafePointer<Float>, _ a: UnsafeMutablePointer<Float>, grads: UnsafeMutablePointer<Float>,
        _ scratch: TransformerPlan.Scratch, R: Int
    ) {
        layerNormBackward(
            dx: dx, dWeight: grads + model.offsets.normWeight, dBias: grads + model.offsets.normBias, dOut, x,
            xStride: model.config.hiddenSize, mean: a + plan.mean, rstd: a + plan.rstd,
            weight: p + model.offsets.normWeight, R: R, C: model.config.hiddenSize,
            scratch: a + scratch.block.row)
    }

    private func sizes(of block: Int, _ B: Int) -> BlockSizes { BlockSizes(model.config, block: block, B: B) }
}
