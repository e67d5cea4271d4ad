import Checkpoints
import Kernels
import Networks
import SystemPackage
import TensorCore

/// A network on disk: its architecture, and how to get parameter vectors out of checkpoints and back into them.
public struct Backbone: Sendable {
    public let network: any Network
    public let normalization: ImageNormalization
    /// How the heads and data that go with it are read.
    public var reading = ReadOptions()

    /// Works out the architecture of a checkpoint.
    ///
    /// - Parameters:
    ///   - base: the checkpoint whose `config.json` and tensors say what the architecture is.
    ///   - config: the configuration file; nil takes the one beside the checkpoint.
    /// - Throws: `input.missing_tensor` that says what the checkpoint is when its names are not timm's;
    ///   `input.missing_config`, `input.bad_config`, also when the checkpoint has parts that the architecture would leave
    ///   out; `FormatError` for JSON that is none.
    public init(of base: TensorStore, config: FilePath? = nil) throws {
        try base.requireTimmNames(config: config)
        if let (tensor, part) = TimmNames.unsupportedPart(of: base.descriptors.map(\.name)) {
            throw InputError(
                .badConfig,
                "\(base.path.string) has \(part) (\"\(tensor)\"), which the vision transformer of this version lacks",
                file: base.path, tensor: tensor, hint: TimmNames.anyNamesHint)
        }
        let config = try BackboneConfig(of: base, path: config)
        do throws(NetworkError) { network = try Transformer(config.architecture) } catch {
            throw InputError(.badConfig, error.message, file: config.path, hint: error.hint)
        }
        normalization = config.normalization
        let layout = network.layout
        if let stray = base.descriptors.first(where: { $0.name.text.hasPrefix("blocks.") && layout[$0.name] == nil }) {
            throw InputError(
                .badConfig,
                "\(base.path.string) has the tensor \"\(stray.name)\", which the architecture of \(config.path.string) "
                    + "does not have", file: config.path, tensor: stray.name,
                hint: "check that config.json belongs to this checkpoint")
        }
    }

    /// The parameters of a checkpoint as one flat vector in the order of `network.layout`.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, `input.bad_dtype`, `input.bad_value` for NaN and infinity, with
    ///   file and tensor.
    public func parameters(of checkpoint: TensorStore) throws -> FloatBuffer {
        try check(checkpoint)
        try requireMemory(count: network.parameterCount, of: Float.self)
        let parameters = try FloatBuffer(count: network.parameterCount)
        for entry in network.layout.entries {
            try checkpoint.readFinite(
                entry.name, into: UnsafeMutableBufferPointer(rebasing: parameters.values[entry.range]))
        }
        return parameters
    }

    /// Compares names and shapes, before memory is taken for an architecture that may be far from the checkpoint's.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, with file and tensor.
    package func check(_ checkpoint: TensorStore) throws {
        try checkpoint.requireTimmNames()
        for entry in network.layout.entries {
            let shape = try checkpoint.required(entry.name).shape
            guard shape == entry.shape else {
                throw InputError(
                    .badShape,
                    "\"\(entry.name)\" has shape \(shape) in \(checkpoint.path.string), but the architecture needs "
                        + "\(entry.shape)", file: checkpoint.path, tensor: entry.name,
                    hint: "check that config.json belongs to this checkpoint")
            }
        }
    }

    /// Writes a copy of a checkpoint with new parameters: same tensors, same types. Tensors that the network does not have
    /// are copied as they are.
    ///
    /// - Parameter writer: declared with the descriptors of `checkpoint`, in their order.
    /// - Throws: what reader and writer throw.
    @discardableResult
    package func write(
        parameters: FloatBuffer, like checkpoint: TensorStore, into writer: any CheckpointWriter
    ) throws -> WrittenCheckpoint {
        for (index, descriptor) in checkpoint.descriptors.enumerated() {
            guard let entry = network.layout[descriptor.name] else {
                let bytes = try checkpoint.reader.bytes(of: index)
                try bytes.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
                continue
            }
            let narrowed = try AlignedBuffer(byteCount: descriptor.byteCount)
            _ = narrow(
                UnsafeBufferPointer(rebasing: parameters.values[entry.range]), into: narrowed.mutableBytes,
                as: descriptor.dtype)
            try withExtendedLifetime(narrowed) { try writer.write(narrowed.bytes, tensor: index, at: 0) }
        }
        return try writer.finish()
    }
}
