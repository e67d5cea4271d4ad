import Checkpoints
import Interference
import Kernels
import Networks
import SystemPackage
import TensorCore
import TestSupport

/// A suite of `Fixtures/suites` as the modules under test take it.
struct Suite {
    let fixture: SuiteFixture
    let transformer: Transformer
    private let shape: ImageShape
    let base: FloatBuffer
    let heads: [TaskHead]

    init(_ name: String) throws {
        fixture = try SuiteFixture(name)
        let side = try fixture.setting("image_size")
        shape = ImageShape(channels: try fixture.setting("num_channels"), height: side, width: side)
        transformer = try Transformer(
            TransformerConfig(
                stem: .patches(PatchStem(image: shape, patchSize: try fixture.setting("patch_size"))),
                hiddenSize: try fixture.setting("hidden_size"), layerCount: try fixture.setting("num_hidden_layers"),
                headCount: try fixture.setting("num_attention_heads"),
                mlpSize: try fixture.setting("intermediate_size")))
        base = try FloatBuffer(fixture.floats("base.safetensors", transformer.layout.entries.map(\.name)))
        let width = transformer.config.hiddenSize
        heads = try fixture.tasks.map { [fixture] task in
            let file = "heads_\(task).safetensors"
            let weight = try fixture.floats(file, ["weight"])
            return TaskHead(
                name: task,
                head: try ClassificationHead(
                    name: task, weight: weight, classCount: weight.count / width,
                    bias: try fixture.floats(file, ["bias"])))
        }
    }

    func expert(_ task: String) throws -> FloatBuffer { try parameters("expert_\(task).safetensors") }

    func parameters(_ file: String, prefix: String = "") throws -> FloatBuffer {
        try FloatBuffer(fixture.floats(file, transformer.layout.entries.map { TensorName(prefix + $0.name.text) }))
    }

    func images(_ file: String, limit: Int = .max) throws -> InputSet {
        let (values, count) = try fixture.images(file)
        let taken = min(count, limit)
        return .images(
            try ImageSet(values: Array(values.prefix(taken * shape.elementCount)), count: taken, shape: shape))
    }

    func data(_ index: Int) throws -> TaskData {
        let file = "test_\(heads[index].name).npz"
        return try TaskData(task: heads[index], inputs: try images(file), labels: try fixture.labels(file))
    }

    /// Whether an element is a key bias: its true gradient is zero, and Adam turns the rounding noise of any computation
    /// of it into full steps, so it is not compared.
    func isKeyBias(_ name: TensorName, _ index: Int) -> Bool {
        let width = transformer.config.hiddenSize
        return name.text.hasSuffix("attn.qkv.bias") && (width..<2 * width).contains(index)
    }
}

/// The largest absolute difference of two arrays; infinite where lengths differ or a number is not one.
func largestDifference(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Float {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).reduce(0) { $1.0.isFinite && $1.1.isFinite ? max($0, abs($1.0 - $1.1)) : .infinity }
}
