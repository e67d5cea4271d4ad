import Checkpoints
import Kernels
import Networks
import TensorCore

/// What is measured of a model, by the tensors of its checkpoint.
extension Backbone {
    /// A matrix `[outputs, inputs]` of a checkpoint, and the weight of the network that it is, or that has its rows.
    package struct LinearLayer: Sendable {
        package let tensor: TensorName
        package let weight: ParameterLayout.Entry
    }

    /// The linear layers of which the network tells what they are multiplied with. Matrices that the file has the other way round and
    /// kernels are not among them.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, with file and tensor.
    package func linearLayers(of checkpoint: TensorStore) throws -> [LinearLayer] {
        let weights = network.observedWeights
        return try bindings(of: checkpoint).compactMap { binding in
            guard binding.shape.rank == 2, !binding.isTransposed,
                let weight = weights.first(where: { $0.range.contains(binding.range.lowerBound) }),
                binding.shape.dims[1] == ProductMoments.width(of: weight)
            else { return nil }
            return LinearLayer(tensor: binding.name, weight: weight)
        }
    }

    /// The tensors that hold parameters, with their shapes, in F32.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, with file and tensor.
    package func parameterTensors(of checkpoint: TensorStore) throws -> [TensorDescriptor] {
        try bindings(of: checkpoint).map { try TensorDescriptor(name: $0.name, dtype: .f32, shape: $0.shape) }
    }

    /// Numbers for every parameter, as the tensors of a checkpoint have them.
    ///
    /// - Parameter numbers: like a parameter vector.
    /// - Throws: as `parameterTensors`, `IOError`.
    package func forEachTensor(
        of numbers: FloatBuffer, in checkpoint: TensorStore, _ body: (TensorName, AlignedBuffer) throws -> Void
    ) throws {
        for binding in try bindings(of: checkpoint) {
            try body(binding.name, try binding.bytes(of: numbers, as: .f32, like: checkpoint))
        }
    }
}
