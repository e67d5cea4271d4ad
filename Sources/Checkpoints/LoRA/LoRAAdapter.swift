import SystemPackage
import TensorCore

/// A LoRA adapter as PEFT saves it: factors of the changes of modules, and tensors that take the place of the base's.
///
/// - Source: PEFT 0.21, `tuners/lora`.
package struct LoRAAdapter: Sendable {
    package let reader: any CheckpointReader
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
        let name: String
        /// The name with the wrappers around it.
        let path: String
        /// How many wrappers of other tensors lie around it.
        let depth: Int
        /// Places in the reader.
        let a, b: Int
        let isEmbedding: Bool
        let magnitude: Int?
        let bias: Int?
    }

    /// The files of the adapter.
    package var files: [FilePath] { reader.files + [config.file] }

    /// Opens an adapter: a folder with `adapter_config.json` and weights, or the weights beside that file.
    ///
    /// - Throws: `FormatError`: `unknown_format` when there is no adapter, `missing_tensor` for a factor without the other,
    ///   `bad_name` for tensors that LoRA does not have, and what reading the configuration and the weights throws.
    package init(opening path: FilePath, options: ReadOptions) throws {
        let (weights, config) = try Self.files(at: path)
        self.config = try AdapterConfig(reading: config)
        reader = try CheckpointFormat.open(weights, options: options.withoutBase)
        let names = reader.descriptors.map(\.name)
        var keys: [(place: Int, key: AdapterKey)] = []
        for (place, name) in names.enumerated() {
            guard let key = AdapterKey(name) else {
                throw FormatError(
                    .badName, "tensor \"\(name)\" is none that a LoRA adapter has", file: reader.path, tensor: name)
            }
            keys.append((place, key))
        }
        tensors = keys.filter { $0.key.part == .tensor }.map {
            WholeTensor(name: TensorName($0.key.name), path: $0.key.path, place: $0.place)
        }
        let parts = keys.filter { $0.key.part != .tensor && $0.key.part != .original }
        modules = try Self.modules(of: parts, in: reader)
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

    private static func files(at path: FilePath) throws -> (weights: FilePath, config: FilePath) {
        guard folderExists(path) else {
            let config = path.removingLastComponent().appending(AdapterConfig.fileName)
            guard fileExists(config) else {
                throw FormatError(
                    .unknownFormat,
                    "\(path.string) is no adapter: there is no \(AdapterConfig.fileName) beside it", file: path)
            }
            return (path, config)
        }
        let config = path.appending(AdapterConfig.fileName)
        let names: [FilePath.Component] = ["adapter_model.safetensors", "adapter_model.bin"]
        guard fileExists(config) else {
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

    // MARK: - Modules

    private struct ModuleKey: Hashable {
        let name: TensorName
        let depth: Int
    }

    private static func modules(
        of parts: [(place: Int, key: AdapterKey)], in reader: any CheckpointReader
    ) throws(FormatError) -> [Module] {
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
                    magnitude: parts[.magnitude], bias: parts[.bias]))
        }
        return modules
    }
}
