import Checkpoints
import Kernels
import Networks
import SystemPackage
import TensorCore

/// A vision transformer on disk: its architecture, and how to get parameter vectors out of checkpoints and back into them.
public struct Backbone: Sendable {
    public let network: VisionTransformer
    public let normalization: ImageNormalization

    /// - Parameters:
    ///   - base: the checkpoint whose `config.json` and tensors say what the architecture is.
    ///   - config: the configuration file; nil takes the one beside the checkpoint.
    public init(of base: TensorStore, config: FilePath? = nil) throws {
        let config = try BackboneConfig(of: base, path: config)
        network = try VisionTransformer(config.architecture)
        normalization = config.normalization
    }

    /// The parameters of a checkpoint as one flat vector in the order of `network.layout`.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, `input.bad_dtype` with file and tensor.
    public func parameters(of checkpoint: TensorStore) throws -> [Float] {
        var parameters = [Float](repeating: 0, count: network.parameterCount)
        for entry in network.layout.entries {
            let (shape, values) = try checkpoint.floats(entry.name)
            guard shape == entry.shape else {
                throw PipelineError(
                    .badShape,
                    "\"\(entry.name)\" has shape \(shape) in \(checkpoint.path.string), but the architecture needs "
                        + "\(entry.shape)", file: checkpoint.path, tensor: entry.name,
                    hint: "check that config.json belongs to this checkpoint")
            }
            parameters.replaceSubrange(entry.range, with: values)
        }
        return parameters
    }

    /// Writes a copy of a checkpoint with new parameters: same tensors, same types. Tensors that the network does not have
    /// are copied as they are.
    ///
    /// - Parameter writer: declared with the descriptors of `checkpoint`, in their order.
    @discardableResult
    func write(
        parameters: [Float], like checkpoint: TensorStore, into writer: any CheckpointWriter
    ) throws -> WrittenCheckpoint {
        for (index, descriptor) in checkpoint.descriptors.enumerated() {
            guard let entry = network.layout[descriptor.name] else {
                let bytes = try checkpoint.reader.bytes(of: index)
                try bytes.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
                continue
            }
            let narrowed = try AlignedBuffer(byteCount: descriptor.byteCount)
            parameters.withUnsafeBufferPointer { values in
                _ = narrow(
                    UnsafeBufferPointer(rebasing: values[entry.range]), into: narrowed.mutableBytes,
                    as: descriptor.dtype)
            }
            try withExtendedLifetime(narrowed) { try writer.write(narrowed.bytes, tensor: index, at: 0) }
        }
        return try writer.finish()
    }
}
