import SystemPackage
import TensorCore

/// A LoRA adapter as PEFT saves it: factors of the changes of modules, and tensors that take the place of the base's; or as those of
/// image models are saved, by their names alone.
///
/// - Source: PEFT 0.21, `tuners/lora`.
package struct LoRAAdapter: Sendable {
    package let reader: any CheckpointReader
    /// What the names of tensors are.
    package let naming: AdapterNaming
    /// An empty one where names tell everything.
    package let config: AdapterConfig
    /// By name, in the order of the file.
    let modules: [Module]
    /// Whole tensors, and their places in the reader.
    package let tensors: [WholeTensor]

    /// A tensor that takes the place of the base's.
    package struct WholeTensor: Sendable {
        package let name: TensorName
        /// The name with the wrappers around the module.
        package let path: String
        package let place: Int
    }

    /// The parts of one module's change.
    struct Module: Sendable {
        var name: String
        /// The name with the wrappers around it.
        var path: String
        /// How many wrappers of other tensors lie around it.
        let depth: Int
        /// Places in the reader.
        let a, b: Int
        let isEmbedding: Bool
        let magnitude: Int?
        let bias: Int?
        /// The rank and the factor of the product; nil where the configuration tells them by the name.
        var scaling: (rank: Int, factor: Double)?
    }

    /// The files of the adapter.
    package var files: [FilePath] { reader.files + (naming == .peft ? [config.file] : []) }

    /// Opens an adapter: a folder with `adapter_config.json` and weights, or the weights beside that file; or a file with the names
    /// of kohya or diffusers, or a folder with one that is called as diffusers calls it.
    ///
    /// - Throws: `FormatError`: `unknown_format` when there is no adapter, `missing_tensor` for a factor without the other,
    ///   `bad_name` for tensors that LoRA does not have, and what reading the configuration and the weights throws.
    package init(opening path: FilePath, options: ReadOptions) throws {
        let (weights, config) = try Self.files(at: path)
        reader = try CheckpointFormat.open(weights, options: options.withoutBase)
        naming = try Self.naming(of: reader, hasConfiguration: config != nil)
        self.config = try config.map { try AdapterConfig(reading: $0) } ?? AdapterConfig(absentBeside: weights)
        let names = reader.descriptors.map(\.name)
        var keys: [(place: Int, key: AdapterKey)] = []
        for (place, name) in names.enumerated() {
            guard let key = AdapterKey(name, naming) else {
                throw FormatError(
                    .badName, "tensor \"\(name)\" is none that a LoRA adapter has", file: reader.path, tensor: name)
            }
            keys.append((place, key))
        }
        let saved = Set(keys.filter { $0.key.part == .saved }.map(\.key.name))
        tensors = keys.filter { $0.key.part == .saved || $0.key.part == .tensor && !saved.contains($0.key.name) }.map {
            WholeTensor(name: TensorName($0.key.name), path: $0.key.path, place: $0.place)
        }
        let parts = keys.filter { ![.tensor, .saved, .original].contains($0.key.part) }
        modules = try Self.modules(of: parts, in: reader, naming)
        if self.config.usesMagnitudes, let module = modules.first(where: { $0.magnitude == nil }) {
            throw FormatError(
                .missingTensor, "module \(module.name.escapingControlCharacters) lacks its lora_magnitude_vector",
                file: reader.path, tensor: names[module.a])
        }
        if !self.config.usesMagnitudes, let place = modules.lazy.compactMap(\.magnitude).first {
            throw FormatError(
                .configMismatch, "tensor \"\(names[place])\" is there, and `use_dora` is not set", file: reader.path,
                tensor: names[place])
        }
    }

    /// An adapter with other names for its modules.
    init(_ other: LoRAAdapter, naming: AdapterNaming, modules: [Module]) {
        (reader, config, tensors) = (other.reader, other.config, other.tensors)
        self.naming = naming
        self.modules = modules
    }

    private static func files(at path: FilePath) throws -> (weights: FilePath, config: FilePath?) {
        guard folderExists(path) else {
            let config = path.removingLastComponent().appending(AdapterConfig.fileName)
            return (path, fileExists(config) ? config : nil)
        }
        let config = path.appending(AdapterConfig.fileName)
        let names: [FilePath.Component] = ["adapter_model.safetensors", "adapter_model.bin"]
        guard fileExists(config) else {
            let weights = path.appending("pytorch_lora_weights.safetensors")
            if fileExists(weights) { return (weights, nil) }
            throw FormatError(
                .unknownFormat, "the folder \(path.string) holds no \(AdapterConfig.fileName), so it is no adapter",
                file: path, hint: "an adapter is what stands behind the + of BASE+ADAPTER")
        }
        guard let weights = names.lazy.map(path.appending).first(where: fileExists) else {
            throw FormatError(
                .unknownFormat, "the folder \(path.string) holds neither \(names[0]) nor \(names[1])", file: path)
        }
        return (weights, config)
    }

    private static func naming(
        of reader: any CheckpointReader, hasConfiguration: Bool
    ) throws(FormatError) -> AdapterNaming {
        if hasConfiguration { return .peft }
        guard let naming = AdapterNaming(ofTensors: reader.descriptors.map(\.name)) else {
            throw FormatError(
                .unknownFormat,
                "\(reader.path.string) is no adapter: there is no \(AdapterConfig.fileName) beside it, and its names are not those "
                    + "of kohya or diffusers", file: reader.path)
        }
        return naming
    }

    // MARK: - Modules

    private struct ModuleKey: Hashable {
        let name: TensorName
        let depth: Int
    }

    private static func modules(
        of parts: [(place: Int, key: AdapterKey)], in reader: any CheckpointReader, _ naming: AdapterNaming
    ) throws -> [Module] {
        let alphas = try naming == .peft ? nil : ImageAdapterScaling(of: reader, naming)
        var order: [ModuleKey] = []
        var found: [ModuleKey: [AdapterKey.Part: Int]] = [:]
        var paths: [ModuleKey: String] = [:]
        for (place, key) in parts {
            let module = ModuleKey(name: TensorName(key.name), depth: key.depth)
            if found[module] == nil { order.append(module) }
            paths[module] = key.path
            guard found[module, default: [:]].updateValue(place, forKey: key.part) == nil else {
                let name = reader.descriptors[place].name
                throw FormatError(
                    .badName, "tensor \"\(name)\" is a part that its module has already", file: reader.path,
                    tensor: name)
            }
        }
        var modules: [Module] = []
        for key in order {
            let parts = found[key] ?? [:]
            let isEmbedding = parts[.embeddingA] != nil || parts[.embeddingB] != nil
            let (a, b) = isEmbedding ? (parts[.embeddingA], parts[.embeddingB]) : (parts[.a], parts[.b])
            guard let a, let b, !isEmbedding || parts[.a] == nil && parts[.b] == nil else {
                let name = (parts.values.min()).map { reader.descriptors[$0].name }
                throw FormatError(
                    .missingTensor, "module \(key.name) lacks \(a == nil ? "its factor A" : "its factor B")",
                    file: reader.path, tensor: name)
            }
            modules.append(
                Module(
                    name: key.name.text, path: paths[key] ?? key.name.text, depth: key.depth, a: a, b: b,
                    isEmbedding: isEmbedding,
                    magnitude: parts[.magnitude], bias: parts[.bias],
                    scaling: try alphas?.scaling(of: key.name.text, a: a, alpha: parts[.alpha])))
        }
        return modules
    }
}
