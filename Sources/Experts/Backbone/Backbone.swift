import Checkpoints
import Images
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
    /// How data is read that is no array.
    public var data = DataOptions()
    private let architecture: Architecture
    let files: ConfigurationFiles

    /// Works out the architecture of a checkpoint.
    ///
    /// - Parameters:
    ///   - base: the checkpoint whose configuration and tensors say what the architecture is.
    ///   - config: the configuration file; nil takes the one beside the checkpoint.
    /// - Throws: `input.missing_tensor` that lists what was looked for when the checkpoint is no model that is computed;
    ///   `input.missing_config`, `input.bad_config`, also when the checkpoint has parts that the architecture would leave
    ///   out; `input.bad_shape` when the two contradict each other; `FormatError` for JSON that is none.
    public init(of base: TensorStore, config: FilePath? = nil) throws {
        let (architecture, files) = try Architecture.find(in: base, config: config)
        let tensors = try architecture.tensors(of: base)
        do { network = try architecture.network(files, tensors) } catch let error as NetworkError {
            throw InputError(.badConfig, error.message, file: files.main.file, hint: error.hint)
        }
        self.architecture = architecture
        self.files = files
        normalization =
            switch network.input {
            case .images(let shape):
                try ImageNormalization(files, channels: shape.channels, standard: architecture.normalization)
            case .tokens: .unit
            }
        try architecture.checkNothingIsLeftOut(
            architecture.bindings(of: network.layout, in: tensors), of: tensors, config: files.main.file)
        try check(base)
    }

    /// How the model's own library brings pictures to the size that the network takes.
    ///
    /// - Throws: `input.bad_config` when the configuration says something else than is supported; `network.bad_images` for a network of texts.
    package func picturePreparation() throws -> PicturePreparation {
        switch network.input {
        case .images(let shape): return try PicturePreparation(files, shape: shape)
        case .tokens: throw NetworkError(.badImages, "there are pictures, but the model takes texts")
        }
    }

    /// The parameters of a checkpoint as one flat vector in the order of `network.layout`.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, `input.bad_dtype`, `input.bad_value` for NaN and infinity, with
    ///   file and tensor.
    public func parameters(of checkpoint: TensorStore) throws -> FloatBuffer {
        let bindings = try bindings(of: checkpoint)
        try requireMemory(count: network.parameterCount, of: Float.self)
        let parameters = try FloatBuffer(count: network.parameterCount)
        for binding in bindings { try binding.read(from: checkpoint, into: parameters) }
        return parameters
    }

    /// Compares names and shapes, before memory is taken for an architecture that may be far from the checkpoint's.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, with file and tensor.
    package func check(_ checkpoint: TensorStore) throws { _ = try bindings(of: checkpoint) }

    /// Where the parameters lie in a checkpoint, whose names and shapes are compared.
    func bindings(of checkpoint: TensorStore) throws -> [TensorBinding] {
        let bindings = architecture.bindings(of: network.layout, in: try architecture.tensors(of: checkpoint))
        for binding in bindings {
            let shape = try checkpoint.required(binding.name).shape
            guard shape == binding.shape else {
                throw InputError(
                    .badShape,
                    "\"\(binding.name)\" has shape \(shape) in \(checkpoint.path.string), but the architecture needs "
                        + "\(binding.shape)", file: checkpoint.path, tensor: binding.name,
                    hint: "check that the configuration belongs to this checkpoint")
            }
        }
        return bindings
    }

    /// The tensors of a checkpoint that hold parameters of the network.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, with file and tensor.
    package func parameterNames(in checkpoint: TensorStore) throws -> [TensorName] {
        try bindings(of: checkpoint).map(\.name)
    }

    /// Where the parameters lie that patterns freeze.
    ///
    /// - Parameters:
    ///   - patterns: shell patterns for names of tensors in the checkpoint.
    ///   - checkpoint: one of this architecture.
    /// - Throws: `input.missing_tensor` that names the nearest tensor for a pattern that matches none; as `parameters`.
    package func frozen(_ patterns: TensorPatterns, in checkpoint: TensorStore) throws -> FrozenParameters {
        let names = checkpoint.descriptors.map(\.name)
        if let pattern = patterns.unused(among: names).first {
            let nearest = nearestName(to: pattern, among: names.map(\.text))
            throw InputError(
                .missingTensor,
                "no tensor of \(checkpoint.path.string) matches the pattern \"\(pattern.escapingControlCharacters)\" of what is to be frozen",
                file: checkpoint.path,
                hint: nearest.map { "did you mean \"\($0.escapingControlCharacters)\"?" }
                    ?? "untangle inspect \(checkpoint.path.string) lists the names")
        }
        return FrozenParameters(try bindings(of: checkpoint).filter { patterns.contains($0.name) }.map(\.range))
    }

    /// Writes a copy of a checkpoint with new parameters: same tensors, same types. Tensors that the network does not have, and those
    /// that are frozen, are copied as they are.
    ///
    /// - Parameter writer: declared with the descriptors of `checkpoint`, in their order.
    /// - Throws: what reader and writer throw.
    @discardableResult
    package func write(
        parameters: FloatBuffer, frozen: FrozenParameters = FrozenParameters(), like checkpoint: TensorStore,
        into writer: any CheckpointWriter
    ) throws -> WrittenCheckpoint {
        let bindings = Dictionary(uniqueKeysWithValues: try bindings(of: checkpoint).map { ($0.name, $0) })
        for (index, descriptor) in checkpoint.descriptors.enumerated() {
            guard let binding = bindings[descriptor.name], !frozen.contains(binding.range) else {
                let bytes = try checkpoint.reader.bytes(of: index)
                try bytes.withUnsafeBytes { try writer.write($0, tensor: index, at: 0) }
                continue
            }
            let narrowed = try binding.bytes(of: parameters, as: descriptor.dtype)
            try withExtendedLifetime(narrowed) { try writer.write(narrowed.bytes, tensor: index, at: 0) }
        }
        return try writer.finish()
    }
}
