import Checkpoints
import Images
import Kernels
import Networks
import SystemPackage
import TensorCore
import Work

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
            architecture.bindings(of: network.layout, in: tensors), of: tensors, config: files.main.file,
            culprit: files.main.file)
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

    /// Makes sure that the parameters of a checkpoint are numbers, without keeping them.
    ///
    /// - Throws: as `parameters`.
    package func checkValues(of checkpoint: TensorStore) throws {
        let bindings = try bindings(of: checkpoint)
        let values = try FloatBuffer(count: bindings.map(\.range.count).max() ?? 0)
        for binding in bindings {
            try checkpoint.readFinite(
                binding.name, into: UnsafeMutableBufferPointer(rebasing: values.values[..<binding.range.count]))
        }
    }

    /// Compares names, shapes and what they tell of the network, before memory is taken for an architecture that may be far from the
    /// checkpoint's.
    ///
    /// - Throws: `input.missing_tensor`, `input.bad_shape`, `input.bad_config` for parts that this network does not have, with file and
    ///   tensor.
    package func check(_ checkpoint: TensorStore) throws {
        _ = try bindings(of: checkpoint)
        let tensors = try architecture.tensors(of: checkpoint)
        guard let difference = try difference(of: architecture.network(files, tensors)) else { return }
        throw InputError(
            .badConfig, "\(checkpoint.path.string) is of another network than the base: \(difference)",
            file: checkpoint.path, hint: "base and experts have to be of one architecture")
    }

    /// Makes sure that the configuration beside a checkpoint describes this network, if there is one and it is not the base's own.
    ///
    /// - Throws: `input.bad_config` that names the first setting that differs; what reading the configuration throws.
    package func checkConfiguration(beside checkpoint: TensorStore) throws {
        guard let name = files.main.file.lastComponent else { return }
        let path = CheckpointFolder.folder(of: checkpoint.path).appending(name)
        guard path != files.main.file, fileExists(path) else { return }
        let hint = "--config FILE gives one configuration for the base and all experts"
        do {
            let own = try ConfigurationFiles(of: checkpoint.path, config: path, names: [], hint: nil)
            let type = try own.main.text("model_type")
            guard architecture.accepts(type) else {
                throw own.main.contradiction("model_type is \"\(type ?? "")\", and the base is \(architecture.name)")
            }
            let network = try architecture.network(own, architecture.tensors(of: checkpoint))
            if let difference = try difference(of: network, ignoring: own.saysPooling ? [] : ["pooling"]) {
                throw own.main.contradiction(difference)
            }
        } catch let error as InputError { throw error.hint == nil ? error.hinting(hint) : error } catch let error
            as NetworkError
        {
            throw InputError(.badConfig, error.message, file: path, hint: hint)
        }
    }

    /// What a network computes in another way than this one, as far as its settings say.
    private func difference(of other: any Network, ignoring ignored: Set<String> = []) throws -> String? {
        func settings(_ network: any Network) throws -> Fingerprint {
            try Fingerprint("network", settings: network.configuration, inputs: [])
        }
        let found = try settings(other).differences(since: settings(network)).first { !ignored.contains($0.name) }
        return found.map { "\($0.name) is \($0.now ?? "none"), and the base's is \($0.before ?? "none")" }
    }

    /// Where the parameters lie in a checkpoint, whose names and shapes are compared.
    ///
    /// - Throws: as `check`.
    func bindings(of checkpoint: TensorStore) throws -> [TensorBinding] {
        let tensors = try architecture.tensors(of: checkpoint)
        let bindings = architecture.bindings(of: network.layout, in: tensors)
        for binding in bindings {
            let shape = try required(binding, in: checkpoint).shape
            guard shape == binding.shape else {
                throw InputError(
                    .badShape,
                    "\"\(binding.name)\" has shape \(shape) in \(checkpoint.path.string), but the architecture needs "
                        + "\(binding.shape)", file: checkpoint.path, tensor: binding.name,
                    hint: "check that the configuration belongs to this checkpoint")
            }
        }
        try architecture.checkIsComputed(tensors)
        try architecture.checkNothingIsLeftOut(
            bindings, of: tensors, config: files.main.file, culprit: checkpoint.path)
        return bindings
    }

    /// The tensor of a checkpoint that a binding is about.
    private func required(_ binding: TensorBinding, in checkpoint: TensorStore) throws -> TensorDescriptor {
        do { return try checkpoint.required(binding.name) } catch let error as InputError {
            // Without it the feature is what is projected, which is a network as good.
            guard binding.range == network.layout["head.weight"]?.range else { throw error }
            throw error.hinting(
                "an expert needs the projection that the base has: copy the tensor into it where it was not trained, or take a base "
                    + "without it (`untangle convert --exclude '\(binding.name)'`) and heads for the feature before it")
        }
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
            let narrowed = try binding.bytes(of: parameters, as: descriptor.dtype, like: checkpoint)
            try withExtendedLifetime(narrowed) { try writer.write(narrowed.bytes, tensor: index, at: 0) }
        }
        return try writer.finish()
    }
}
