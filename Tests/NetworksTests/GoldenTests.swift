import Checkpoints
import Kernels
import Networks
import TensorCore
import TestSupport
import Testing

/// Against PyTorch: `Fixtures/golden/networks/make_networks.py`.
@Suite("networks against PyTorch") struct GoldenTests {
    let store: TensorStore

    init() throws { store = try TensorStore(opening: Fixtures.path("golden/networks/networks.safetensors")) }

    func floats(_ name: String) throws -> [Float] {
        guard let bytes = try store.bytes(of: TensorName(name)) else { throw MissingFixture(name: name) }
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let normalizes: Bool
        let scale: Float
        let change: @Sendable (inout TransformerConfig) -> Void
        var testDescription: String { name }
    }

    static let cases = [
        Case(name: "cls_gelu", normalizes: false, scale: 1) { _ in },
        Case(name: "mean_tanh", normalizes: true, scale: 7.5) {
            $0.activation = .geluTanh
            $0.pooling = .mean
            $0.qkvBias = false
        },
        Case(name: "mean_quick", normalizes: false, scale: 1) {
            $0.activation = .quickGELU
            $0.pooling = .mean
            $0.finalNorm = .afterPooling
        },
        Case(name: "clip", normalizes: true, scale: 20) {
            $0.activation = .quickGELU
            $0.preNorm = true
            $0.patches.hasBias = false
            $0.projectionSize = 7
        },
    ]

    @Test("features, logits and every gradient", arguments: cases)
    func network(_ golden: Case) throws {
        let shape = ImageShape(channels: 2, height: 4, width: 6)
        var config = TransformerConfig(
            stem: .patches(PatchStem(image: shape, patchSize: 2)), hiddenSize: 12, layerCount: 2, headCount: 3,
            mlpSize: 10, layerNormEps: 1e-5)
        golden.change(&config)
        let model = try Transformer(config)
        let parameters = try FloatBuffer(
            model.layout.entries.flatMap { try floats("\(golden.name).param.\($0.name)") })
        let images = InputSet.images(
            try ImageSet(values: try floats("\(golden.name).images"), count: 3, shape: shape))
        let head = try ClassificationHead(
            name: "head", weight: try floats("\(golden.name).head.weight"), classCount: 5,
            bias: try floats("\(golden.name).head.bias"), logitScale: golden.scale,
            normalizesFeature: golden.normalizes)
        let bank = HeadBank([head])
        try model.check(head, name: "head")

        let features = try model.features(
            parameters: parameters, inputs: images, budget: ComputeBudget(threads: 1))
        #expect(isClose(features, try floats("\(golden.name).features")))
        #expect(isClose(bank.logits(features: features), try floats("\(golden.name).logits")))

        let gradients = try gradient(
            model, bank, parameters: parameters, inputs: images, dLogits: try floats("\(golden.name).dlogits"))
        for entry in model.layout.entries {
            let expected = try floats("\(golden.name).grad.\(entry.name)")
            #expect(isClose(Array(gradients[entry.range]), expected), "\(entry.name)")
        }
    }

    /// The gradient of the parameters for a gradient of the logits; images in reverse order of the workspace's rows, to
    /// see that rows are followed.
    func gradient(
        _ model: Transformer, _ bank: HeadBank, parameters: FloatBuffer, inputs: InputSet, dLogits: [Float]
    ) throws -> [Float] {
        let workspace = try model.workspace(
            capacity: 4, tokenCount: model.tokenCount(of: inputs), purpose: .training)
        let (B, K, C) = (inputs.count, bank.classCount, bank.width)
        let rows = Array((0..<B).reversed())
        let dReversed = rows.flatMap { dLogits[$0 * K..<($0 + 1) * K] }
        let (grads, logits, dRow) = (
            try FloatBuffer(count: parameters.count), try FloatBuffer(count: B * K), try FloatBuffer(count: B * K)
        )
        let (dFeatures, norms) = (try FloatBuffer(count: B * C), try FloatBuffer(count: B))
        _ = dRow.values.update(from: dReversed)
        let features = rows.withUnsafeBufferPointer { workspace.forward(parameters.pointer, inputs, rows: $0) }
        bank.forward(logits.pointer, inverseNorms: norms.pointer, features: features, B: B)
        bank.backward(
            dFeatures: dFeatures.pointer, dLogits: dRow.pointer, logits: logits.pointer, features: features,
            inverseNorms: norms.pointer, B: B)
        workspace.backward(parameters.pointer, dFeatures: dFeatures.pointer, grads: grads.pointer)
        return Array(grads.values)
    }

    @Test("four steps of AdamW with a changing rate")
    func adamW() throws {
        let start = try floats("adamw.start")
        let gradients = try floats("adamw.grads")
        let (theta, m, v) = (
            try FloatBuffer(count: 37), try FloatBuffer(count: 37), try FloatBuffer(count: 37)
        )
        _ = theta.values.update(from: start)
        let optimizer = AdamW(weightDecay: 0.05)
        for (index, rate) in [0.01, 0.02, 0.005, 0.003].enumerated() {
            Array(gradients[37 * index..<37 * (index + 1)]).withUnsafeBufferPointer { gradient in
                guard let gradient = gradient.baseAddress else { return }
                let isFinite = optimizer.update(
                    theta.pointer, gradient: gradient, firstMoment: m.pointer, secondMoment: v.pointer, N: 37,
                    step: index + 1, learningRate: rate)
                #expect(isFinite)
            }
            let expected = try floats("adamw.theta\(index + 1)")
            #expect(zip(theta.values, expected).allSatisfy { abs($0 - $1) < 2e-7 }, "step \(index + 1)")
        }
    }

    /// Within 2e-5 of the largest expected number: rounding of single precision over two blocks.
    func isClose(_ values: [Float], _ expected: [Float]) -> Bool {
        let scale = expected.map(abs).max() ?? 0
        return values.count == expected.count
            && zip(values, expected).allSatisfy { abs($0 - $1) <= 2e-5 * max(scale, 1e-3) }
    }
}

extension TransformerConfig {
    /// The stem of a network that takes images.
    var patches: PatchStem {
        get {
            guard case .patches(let stem) = stem else { preconditionFailure("the network takes texts") }
            return stem
        }
        set { stem = .patches(newValue) }
    }
}
