import Kernels
import TensorCore

/// The arena of activations of one worker, and the passes of a transformer that run in it.
///
/// Everything is allocated when the object is made. An input keeps what its layers need for the backward pass only where
/// the purpose is training; in inference two blocks' worth of room alternate.
///
/// Safety: one thread at a time may use a workspace.
package final class TransformerWorkspace: NetworkWorkspace, @unchecked Sendable {
    /// The most inputs of one pass.
    package let capacity: Int
    let model: Transformer
    let plan: TransformerPlan
    private let arena: FloatBuffer
    /// The most tokens of an input.
    private let largestTokenCount: Int
    /// The inputs of the last pass, and the tokens of each.
    private(set) var (inputCount, tokenCount) = (0, 0)
    /// The texts of the last pass.
    var words = WordRows()
    package var productObserver: ProductObserver?

    /// Takes memory for the activations of a batch.
    ///
    /// - Throws: `NetworkError` `network.memory` when the activations do not fit.
    init(
        _ model: Transformer, capacity: Int, tokenCount: Int, purpose: WorkspacePurpose
    ) throws(NetworkError) {
        let rows = capacity.multipliedReportingOverflow(by: tokenCount)
        guard !rows.overflow, rows.partialValue <= largestMatrixDimension else {
            throw NetworkError(
                .memory, "\(capacity) \(model.input.noun.many) of \(tokenCount) tokens are too many at once",
                hint: "use a smaller batch")
        }
        self.capacity = capacity
        self.model = model
        largestTokenCount = tokenCount
        plan = TransformerPlan(model.config, capacity: capacity, tokenCount: tokenCount, purpose: purpose)
        do { arena = try FloatBuffer(count: plan.count) } catch { throw NetworkError(error) }
    }

    /// The numbers in the arena.
    package var elementCount: Int { arena.count }

    var activations: UnsafeMutablePointer<Float> { arena.pointer }
    /// Which keys attention leaves out; nil when it leaves out none.
    var mask: UnsafePointer<Float>? { plan.mask.map { UnsafePointer(activations + $0) } }

    package func forward(
        _ p: UnsafePointer<Float>, _ inputs: InputSet, rows: UnsafeBufferPointer<Int>
    ) -> UnsafePointer<Float> {
        let (B, T, C) = (rows.count, model.tokenCount(of: inputs), model.config.hiddenSize)
        precondition(B <= capacity && T <= largestTokenCount, "more than the workspace was planned for")
        (inputCount, tokenCount) = (B, T)
        let a = activations
        embed(p, inputs, rows: rows)
        reportPatches()
        if let norm = model.offsets.preNorm {
            layerNormForward(
                a + plan.stream, mean: a + plan.preMean, rstd: a + plan.preRstd, a + plan.embedded, xStride: C,
                weight: p + norm.weight, bias: p + norm.bias, R: B * T, C: C, eps: model.config.layerNormEps)
        }
        let block = model.config.blockNorm == .before ? preNormForward : postNormForward
        for (number, acts) in plan.blocks.enumerated() {
            block(a + plan.input(of: number), p, model.offsets.blocks[number], a, acts, sizes(of: number), mask)
            report(block: number)
        }
        defer { reportPooling() }
        return pool(p)
    }

    package func backward(
        _ p: UnsafePointer<Float>, dFeatures: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>
    ) {
        guard let scratch = plan.scratch else { preconditionFailure("the workspace was planned for inference") }
        let (B, T, C) = (inputCount, tokenCount, model.config.hiddenSize)
        let a = activations
        unpool(dFeatures, p, grads: grads, scratch)
        var dOut = a + scratch.last
        let block = model.config.blockNorm == .before ? preNormBackward : postNormBackward
        for (number, acts) in plan.blocks.enumerated().reversed() {
            let dx = a + scratch.stream
            block(
                dx, dOut, grads, a + plan.input(of: number), p, model.offsets.blocks[number], a, acts, scratch.block,
                sizes(of: number))
            dOut = dx
        }
        if let norm = model.offsets.preNorm {
            let dEmbedded = a + scratch.block.norm
            dEmbedded.update(repeating: 0, count: B * T * C)
            layerNormBackward(
                dx: dEmbedded, dWeight: grads + norm.weight, dBias: grads + norm.bias, dOut, a + plan.embedded,
                xStride: C, mean: a + plan.preMean, rstd: a + plan.preRstd, weight: p + norm.weight, R: B * T, C: C,
                scratch: a + scratch.block.slopes)
            dOut = dEmbedded
        }
        unembed(dOut, grads: grads, scratch.block)
    }

    func sizes(of block: Int) -> BlockSizes {
        BlockSizes(
            model.config, B: inputCount, T: tokenCount, R: block == plan.blocks.count - 1 ? lastQueryCount : tokenCount)
    }

    /// The tokens of an input that the last block computes.
    var lastQueryCount: Int {
        plan.computesAllQueries ? tokenCount : model.config.lastQueryCount(of: tokenCount)
    }
}
