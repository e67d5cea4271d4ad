import Checkpoints
import Interference
import Networks
import SystemPackage
import TensorCore

/// A suite of `Fixtures/suites`: one backbone, its experts, heads and auxiliary inputs.
struct SuiteFolder {
    let transformer: VisionTransformer
    let tasks: [TaskHead]
    let base: [Float]
    let auxiliary: ImageSet
    private let folder: FilePath

    init(_ path: String) throws {
        folder = FilePath(path)
        let file = try MappedFile(folder.appending("config.json"))
        let settings = try JSONDocument.parse(file.bytes, file: file.path)
        func setting(_ key: String) throws -> Int {
            guard let value = settings[key]?.int else { throw BenchmarkUsage(message: "config.json has no \(key)") }
            return value
        }
        transformer = try VisionTransformer(
            VisionTransformerConfig(
                hiddenSize: try setting("hidden_size"), layerCount: try setting("num_hidden_layers"),
                headCount: try setting("num_attention_heads"), mlpSize: try setting("intermediate_size"),
                patchSize: try setting("patch_size"), imageHeight: try setting("image_size"),
                imageWidth: try setting("image_size"), channels: try setting("num_channels")))
        let names = transformer.layout.entries.map(\.name)
        base = try Self.floats(folder.appending("base.safetensors"), names)
        tasks = try (settings["tasks"]?.array?.compactMap(\.string) ?? []).map { [folder, transformer] name in
            let file = folder.appending("heads_\(name).safetensors")
            let weight = try Self.floats(file, ["weight"])
            let head = try ClassificationHead(
                name: name, weight: weight, classCount: weight.count / transformer.config.hiddenSize,
                bias: try Self.floats(file, ["bias"]))
            return TaskHead(name: name, head: head)
        }
        let images = try TensorStore(opening: folder.appending("aux_mixed.npz"))
        guard let bytes = try images.bytes(of: "images") else { throw BenchmarkUsage(message: "there are no images") }
        let pixels = bytes.withUnsafeBytes { $0.map { (Float($0) / 255 - 0.5) / 0.5 } }
        auxiliary = try ImageSet(
            values: pixels, count: pixels.count / transformer.config.imageElementCount,
            channels: transformer.config.channels, height: transformer.config.imageHeight,
            width: transformer.config.imageWidth)
    }

    func expert(_ task: Int) throws -> [Float] {
        try Self.floats(
            folder.appending("expert_\(tasks[task].name).safetensors"), transformer.layout.entries.map(\.name))
    }

    private static func floats(_ path: FilePath, _ names: [TensorName]) throws -> [Float] {
        let store = try TensorStore(opening: path)
        return try names.flatMap { name in
            guard let bytes = try store.bytes(of: name) else {
                throw BenchmarkUsage(message: "\(path.string) has no \(name)")
            }
            return bytes.withUnsafeBytes { raw in
                (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
        }
    }
}
