import Kernels
import Networks
import TensorCore
import TestSupport
import Testing

/// Whole networks of every kind against central differences along random directions, tensor by tensor.
///
/// PyTorch's numbers for the same kinds are in `Fixtures/networks`; these are of unequal sizes, and of what no file there has.
@Suite("encoders against central differences") struct EncoderTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let config: TransformerConfig
        var testDescription: String { name }

        init(_ name: String, _ change: (inout TransformerConfig) -> Void) {
            self.name = name
            var config = name.hasPrefix("words") ? Self.words : Self.patches
            change(&config)
            self.config = config
        }

        private static let patches = TransformerConfig(
            stem: .patches(PatchStem(image: ImageShape(channels: 2, height: 4, width: 6), patchSize: 2)),
            hiddenSize: 8, layerCount: 2, headCount: 2, mlpSize: 10)
        private static let words = TransformerConfig(
            stem: .words(WordStem(vocabulary: 11, positionCount: 9, typeCount: 2)), hiddenSize: 8, layerCount: 2,
            headCount: 2, mlpSize: 10, blockNorm: .after, preNorm: true, pooling: .mean, finalNorm: nil)
    }

    static let cases = [
        Case("patches, layer scale and registers") {
            $0.layerScale = true
            $0.patches.prefix = [.init("cls_token"), .init("reg_token", 3)]
            $0.patches.positions = .patches
        },
        Case("patches, registers without positions, mean") {
            $0.patches.prefix = [.init("cls_token"), .init("reg_token", 2)]
            $0.patches.positions = .classAndPatches
            $0.pooling = .mean
            $0.finalNorm = .afterPooling
        },
        Case("patches, distilled, projected") {
            $0.patches.prefix = [.init("cls_token"), .init("dist_token")]
            $0.pooling = .distilled
            $0.projectionSize = 5
        },
        Case("patches, attention pooling without learned tokens") {
            $0.patches.prefix = []
            $0.pooling = .attention
            $0.activation = .geluTanh
        },
        Case("patches, mean, no final norm, norms behind") {
            $0.pooling = .mean
            $0.finalNorm = nil
            $0.blockNorm = .after
            $0.layerScale = true
        },
        Case("words, mean") { _ in },
        Case("words, first word") { $0.pooling = .cls },
        Case("words, counted as RoBERTa does") {
            $0.stem = .words(WordStem(vocabulary: 11, positionCount: 9, typeCount: 1, padding: 1, paddingRow: 1))
        },
        Case("words, padding without a gradient") {
            $0.stem = .words(WordStem(vocabulary: 11, positionCount: 9, typeCount: 2, paddingRow: 7))
        },
        Case("words, no types, norms in front") {
            $0.stem = .words(WordStem(vocabulary: 11, positionCount: 9, typeCount: 0))
            $0.blockNorm = .before
            $0.finalNorm = .beforePooling
            $0.pooling = .cls
        },
    ]

    @Test("every tensor's gradient", arguments: cases)
    func gradients(_ test: Case) throws { try checkGradients(Transformer(test.config)) }

    @Test(
        "every tensor's gradient of a perceptron",
        arguments: [
            PerceptronConfig(
                image: ImageShape(channels: 2, height: 2, width: 3), layerSizes: [7, 5], activation: .gelu),
            PerceptronConfig(
                image: ImageShape(channels: 1, height: 3, width: 3), layerSizes: [6, 4, 3], activation: .quickGELU,
                activatesFeature: true, hasBias: false),
        ])
    func gradients(_ config: PerceptronConfig) throws { try checkGradients(Perceptron(config)) }

    @Test("a perceptron worked out by hand, with a rectifier")
    func perceptron() throws {
        let image = ImageShape(channels: 1, height: 1, width: 2)
        let network = try Perceptron(PerceptronConfig(image: image, layerSizes: [2, 1]))
        #expect(
            network.layout.entries.map(\.name) == [
                "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias",
            ])
        // Hidden: 1*3 + 2*4 + 1 = 12, and -1*3 + 0*4 + 1 = -2, which becomes 0. Out: 2*12 + 5*0 + 0.5.
        let parameters = try FloatBuffer([1, 2, -1, 0, 1, 1, 2, 5, 0.5])
        let inputs = InputSet.images(try ImageSet(values: [3, 4], count: 1, shape: image))
        let features = try network.features(
            parameters: parameters, inputs: inputs, budget: ComputeBudget(threads: 1))
        #expect(features == [24.5])
    }

    @Test("a perceptron that contradicts itself")
    func badPerceptron() {
        let image = ImageShape(channels: 1, height: 1, width: 2)
        for config in [
            PerceptronConfig(image: image, layerSizes: []), PerceptronConfig(image: image, layerSizes: [3, 0]),
            PerceptronConfig(image: ImageShape(channels: .max, height: 2, width: 2), layerSizes: [3]),
            PerceptronConfig(image: image, layerSizes: [1 << 24, 1 << 24]),
        ] {
            #expect(throws: NetworkError.self) { try Perceptron(config) }
        }
    }

    private func checkGradients(_ network: some Network) throws {
        let inputs = try inputs(of: network)
        let start = random(network.parameterCount, 1)
        let weights = random(inputs.count * network.featureSize, 2)
        let rows = Array(0..<inputs.count)
        let workspace = try network.workspace(
            capacity: inputs.count, tokenCount: network.tokenCount(of: inputs), purpose: .training)
        func loss(_ numbers: [Float]) throws -> Double {
            let parameters = try FloatBuffer(numbers)
            return rows.withUnsafeBufferPointer { rows in
                let features = workspace.forward(parameters.pointer, inputs, rows: rows)
                return withExtendedLifetime(parameters) {
                    weights.indices.reduce(0) { $0 + Double(features[$1]) * Double(weights[$1]) }
                }
            }
        }
        _ = try loss(start)
        let (parameters, slope, gradient) = (
            try FloatBuffer(start), try FloatBuffer(weights), try FloatBuffer(count: start.count)
        )
        // Gradients are added to what is there.
        gradient.values.update(repeating: 1)
        workspace.backward(parameters.pointer, dFeatures: slope.pointer, grads: gradient.pointer)
        let gradients = gradient.numbers.map { $0 - 1 }
        #expect(parameters.count == start.count && slope.count == weights.count)
        let resting = paddingRows(of: network)
        #expect(resting.allSatisfy { gradients[$0].allSatisfy { $0 == 0 } })
        for (place, entry) in network.layout.entries.enumerated() {
            var direction = random(entry.range.count, UInt64(100 + place))
            for index in resting.joined() where entry.range.contains(index) {
                direction[index - entry.range.lowerBound] = 0
            }
            var (up, down) = (start, start)
            let step: Float = 0x1p-8
            for (offset, index) in entry.range.enumerated() {
                up[index] += step * direction[offset]
                down[index] -= step * direction[offset]
            }
            let difference = (try loss(up) - loss(down)) / (2 * Double(step))
            let expected = zip(entry.range, direction).reduce(0) { $0 + Double(gradients[$1.0]) * Double($1.1) }
            #expect(abs(expected - difference) < 5e-3 * max(1, abs(difference)), "\(entry.name)")
        }
    }

    /// The rows of embeddings that features depend on and that have no gradient, as `padding_idx` of PyTorch's.
    private func paddingRows(of network: some Network) -> [Range<Int>] {
        guard let config = (network as? Transformer)?.config, case .words(let stem) = config.stem else { return [] }
        return [("word_embed.weight", stem.paddingRow), ("pos_embed", stem.padding)].compactMap { name, row in
            guard let row, let start = network.layout[TensorName(name)]?.range.lowerBound else { return nil }
            return start + row * config.hiddenSize..<start + (row + 1) * config.hiddenSize
        }
    }

    @Test(
        "a workspace that was made for longer texts has the gradients of one made for these",
        arguments: cases.filter { $0.name.hasPrefix("words") })
    func shorterTexts(_ test: Case) throws {
        let network = try Transformer(test.config)
        let inputs = InputSet.tokens(try TokenSet(ids: [3, 5], count: 2, length: 1))
        let (parameters, slope) = (
            try FloatBuffer(random(network.parameterCount, 1)), try FloatBuffer(random(2 * network.featureSize, 2))
        )
        let gradients = try [1, 6].map { length in
            let workspace = try network.workspace(capacity: 3, tokenCount: length, purpose: .training)
            let gradient = try FloatBuffer(count: network.parameterCount)
            return withExtendedLifetime((parameters, slope)) {
                [0, 1].withUnsafeBufferPointer { _ = workspace.forward(parameters.pointer, inputs, rows: $0) }
                workspace.backward(parameters.pointer, dFeatures: slope.pointer, grads: gradient.pointer)
                return gradient.numbers
            }
        }
        let areSame = gradients[0] == gradients[1]
        #expect(areSame)
    }

    @Test("padding changes nothing, whatever stands there", arguments: cases.filter { $0.name.hasPrefix("words") })
    func padding(_ test: Case) throws {
        let network = try Transformer(test.config)
        let parameters = try FloatBuffer(random(network.parameterCount, 1))
        func features(_ ids: [Int32], _ isWord: [Bool], length: Int) throws -> [Float] {
            try network.features(
                parameters: parameters,
                inputs: .tokens(TokenSet(ids: ids, isWord: isWord, count: 1, length: length)),
                budget: ComputeBudget(threads: 1))
        }
        let alone = try features([3, 5, 2], [true, true, true], length: 3)
        let padded = try features([3, 5, 2, 9, 4], [true, true, true, false, false], length: 5)
        for (a, b) in zip(alone, padded) { #expect(abs(a - b) < 1e-5) }
        let other = try features([3, 5, 7], [true, true, true], length: 3)
        #expect(zip(alone, other).contains { abs($0 - $1) > 1e-3 })
    }

    private func random(_ count: Int, _ stream: UInt64) -> [Float] {
        let generator = CounterGenerator(seed: 5, stream: stream)
        return (0..<count).map { Float(generator.normalPair(UInt64($0)).0) * 0.5 }
    }

    private func inputs(of network: some Network) throws -> InputSet {
        switch network.input {
        case .images(let shape):
            .images(try ImageSet(values: random(3 * shape.elementCount, 3), count: 3, shape: shape))
        case .tokens(let shape):
            .tokens(
                try TokenSet(
                    ids: [3, 5, 2, 10, 0, 7, 7, 1, 1, 1, 4, 0, 9, 1, 1],
                    isWord: [
                        true, true, true, true, true, true, true, false, false, false, true, true, true, true, false,
                    ],
                    types: shape.typeCount > 1 ? [0, 0, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0] : nil, count: 3,
                    length: 5))
        }
    }
}
