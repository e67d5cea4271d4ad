import Kernels
import TensorCore

/// Where everything lies in the arena of one workspace.
struct PerceptronPlan: Sendable {
    /// The input of every layer and the feature, what layers make before the activation, and two gradients of the widest of them.
    let values, sums: [Int]
    let gradients: (Int, Int)
    /// The numbers in the arena.
    let count: Int

    init(_ config: PerceptronConfig, capacity B: Int, purpose: WorkspacePurpose) {
        var arena = ArenaPlan()
        let widths = [config.image.elementCount] + config.layerSizes
        let widest = widths.max() ?? 1
        values = widths.map { arena.take(B, $0) }
        sums = zip(config.layerSizes.indices, values.dropFirst()).map { layer, value in
            config.isActivated(layer) ? arena.take(B, config.layerSizes[layer]) : value
        }
        gradients = purpose == .training ? (arena.take(B, widest), arena.take(B, widest)) : (0, 0)
        count = arena.count
    }
}

/// The activations of one worker, and the passes of a perceptron that run in them.
///
/// Safety: one thread at a time may use a workspace.
final class PerceptronWorkspace: NetworkWorkspace, @unchecked Sendable {
    private let model: Perceptron
    private let capacity: Int
    private let plan: PerceptronPlan
    private let arena: FloatBuffer
    private var inputCount = 0
    var productObserver: ProductObserver?

    /// Takes memory for the activations of a batch.
    ///
    /// - Throws: `NetworkError` `network.memory` when the activations do not fit.
    init(_ model: Perceptron, capacity: Int, purpose: WorkspacePurpose) throws(NetworkError) {
        guard capacity <= largestMatrixDimension else {
            throw NetworkError(.memory, "\(capacity) images are too many at once", hint: "use a smaller batch")
        }
        plan = PerceptronPlan(model.config, capacity: capacity, purpose: purpose)
        self.model = model
        self.capacity = capacity
        do { arena = try FloatBuffer(count: plan.count) } catch { throw NetworkError(error) }
    }

    func forward(
        _ p: UnsafePointer<Float>, _ inputs: InputSet, rows: UnsafeBufferPointer<Int>
    ) -> UnsafePointer<Float> {
        guard case .images(let images) = inputs else { preconditionFailure("inputs of another kind") }
        let B = rows.count
        precondition(B <= capacity, "more images than the workspace was planned for")
        inputCount = B
        let a = arena.pointer
        let image = model.config.image
        let plane = image.height * image.width
        images.withReader { reader in
            for b in 0..<B {
                for c in 0..<image.channels {
                    reader.copy(
                        (rows[b] * image.channels + c) * plane, channel: c, count: plane,
                        to: a + plan.values[0] + (b * image.channels + c) * plane)
                }
            }
        }
        for (layer, (C, O)) in model.config.layers.enumerated() {
            let at = offsets(of: layer)
            productObserver?(at.weight, a + plan.values[layer], B)
            linearForward(
                a + plan.sums[layer], outStride: O, a + plan.values[layer], xStride: C, weight: p + at.weight,
                bias: at.bias.map { p + $0 }, R: B, C: C, O: O)
            guard model.config.isActivated(layer) else { continue }
            activationForward(a + plan.values[layer + 1], a + plan.sums[layer], N: B * O, model.config.activation)
        }
        return UnsafePointer(a + plan.values[model.config.layerSizes.count])
    }

    func backward(
        _ p: UnsafePointer<Float>, dFeatures: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>
    ) {
        let (a, B) = (arena.pointer, inputCount)
        var (dOut, dx) = (a + plan.gradients.0, a + plan.gradients.1)
        dOut.update(from: dFeatures, count: B * model.featureSize)
        for (layer, (C, O)) in model.config.layers.enumerated().reversed() {
            let at = offsets(of: layer)
            if model.config.isActivated(layer) {
                activationBackward(dOut, a + plan.sums[layer], N: B * O, model.config.activation)
            }
            linearBackward(
                dx: layer == 0 ? nil : dx, dWeight: grads + at.weight, dBias: at.bias.map { grads + $0 }, dOut,
                outStride: O, a + plan.values[layer], xStride: C, weight: p + at.weight, R: B, C: C, O: O)
            (dOut, dx) = (dx, dOut)
        }
    }

    private func offsets(of layer: Int) -> (weight: Int, bias: Int?) {
        (model.layout.requiredStart("layers.\(layer).weight"), model.layout.start("layers.\(layer).bias"))
    }
}
