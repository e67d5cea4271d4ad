import Kernels
import TensorCore

/// The activations of one worker, and the passes of a perceptron that run in them.
///
/// Safety: one thread at a time may use a workspace.
final class PerceptronWorkspace: NetworkWorkspace, @unchecked Sendable {
    private let model: Perceptron
    private let capacity: Int
    /// Where the input and every layer's output lie in the arena, the slopes of activations, and two gradients of the widest of them.
    private let values, slopes: [Int]
    private let gradients: (Int, Int)
    private let arena: FloatBuffer
    private var inputCount = 0

    /// Takes memory for the activations of a batch.
    ///
    /// - Throws: `NetworkError` `network.memory` when the activations do not fit.
    init(_ model: Perceptron, capacity: Int, purpose: WorkspacePurpose) throws(NetworkError) {
        let widths = [model.config.image.elementCount] + model.config.layerSizes
        let widest = widths.max() ?? 1
        guard capacity <= largestMatrixDimension else {
            throw NetworkError(.memory, "\(capacity) images are too many at once", hint: "use a smaller batch")
        }
        var plan = ArenaPlan()
        values = widths.map { plan.take(capacity, $0) }
        slopes = model.config.layerSizes.map { plan.take(capacity, $0) }
        gradients =
            purpose == .training ? (plan.take(capacity, widest), plan.take(capacity, widest)) : (0, 0)
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
        let width = model.config.image.elementCount
        images.values.withUnsafeBufferPointer { numbers in
            guard let numbers = numbers.baseAddress else { return }
            for b in 0..<B { (a + values[0] + b * width).update(from: numbers + rows[b] * width, count: width) }
        }
        for (layer, (C, O)) in model.config.layers.enumerated() {
            let at = offsets(of: layer)
            linearForward(
                a + values[layer + 1], outStride: O, a + values[layer], xStride: C, weight: p + at.weight,
                bias: at.bias.map { p + $0 }, R: B, C: C, O: O)
            guard model.config.isActivated(layer) else { continue }
            activationForward(a + values[layer + 1], slope: a + slopes[layer], N: B * O, model.config.activation)
        }
        return UnsafePointer(a + values[model.config.layerSizes.count])
    }

    func backward(
        _ p: UnsafePointer<Float>, dFeatures: UnsafePointer<Float>, grads: UnsafeMutablePointer<Float>
    ) {
        let (a, B) = (arena.pointer, inputCount)
        var (dOut, dx) = (a + gradients.0, a + gradients.1)
        dOut.update(from: dFeatures, count: B * model.featureSize)
        for (layer, (C, O)) in model.config.layers.enumerated().reversed() {
            let at = offsets(of: layer)
            if model.config.isActivated(layer) { activationBackward(dOut, slope: a + slopes[layer], N: B * O) }
            linearBackward(
                dx: layer == 0 ? nil : dx, dWeight: grads + at.weight, dBias: at.bias.map { grads + $0 }, dOut,
                outStride: O, a + values[layer], xStride: C, weight: p + at.weight, R: B, C: C, O: O)
            (dOut, dx) = (dx, dOut)
        }
    }

    private func offsets(of layer: Int) -> (weight: Int, bias: Int?) {
        (model.layout.requiredStart("layers.\(layer).weight"), model.layout.start("layers.\(layer).bias"))
    }
}
