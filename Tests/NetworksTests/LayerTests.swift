import Kernels
import Networks
import TensorCore
import TestSupport
import Testing

/// Every backward pass against central differences of its forward pass, on unequal dimensions.
///
/// The loss is a fixed random weighting of the outputs, summed in double precision. A step of 1/64 keeps the rounding of
/// single precision near 1e-5 and the third-order error below it for the gently scaled inputs used here.
@Suite("layers against central differences") struct LayerTests {
    typealias Pointer = UnsafeMutablePointer<Float>

    static func random(_ count: Int, _ stream: UInt64) -> [Float] {
        let generator = CounterGenerator(seed: 11, stream: stream)
        return (0..<count).map { Float(generator.normalPair(UInt64($0)).0) * 0.5 }
    }

    /// Copies arrays into buffers and hands out their addresses.
    static func withBuffers<R>(_ arrays: [[Float]], _ body: ([Pointer]) -> R) throws -> R {
        let buffers = try arrays.map { array in
            let buffer = try FloatBuffer(count: array.count)
            _ = buffer.values.update(from: array)
            return buffer
        }
        return withExtendedLifetime(buffers) { body(buffers.map(\.pointer)) }
    }

    /// Compares analytic with numeric gradients of all inputs.
    ///
    /// - Parameters:
    ///   - forward: reads the inputs and fills the output.
    ///   - backward: given inputs, output gradient and gradient buffers full of NaN (ones where named in `adds`, which stay in the sum).
    static func check(
        inputs: [[Float]], outputCount: Int, adds: Set<Int> = [], forward: ([Pointer], Pointer) -> Void,
        backward: ([Pointer], Pointer, [Pointer]) -> Void, location: SourceLocation = #_sourceLocation
    ) throws {
        let weights = random(outputCount, 99)
        func loss(_ inputs: [[Float]]) throws -> Double {
            try withBuffers(inputs + [[Float](repeating: 0, count: outputCount)]) { all in
                forward(Array(all.dropLast()), all[inputs.count])
                return (0..<outputCount).reduce(0) { $0 + Double(all[inputs.count][$1]) * Double(weights[$1]) }
            }
        }
        let blanks = inputs.enumerated().map { [Float](repeating: adds.contains($0) ? 1 : .nan, count: $1.count) }
        let gradients = try withBuffers(inputs + blanks + [weights, [Float](repeating: 0, count: outputCount)]) { all in
            let given = Array(all[..<inputs.count])
            forward(given, all[2 * inputs.count + 1])
            backward(given, all[2 * inputs.count], Array(all[inputs.count..<2 * inputs.count]))
            return inputs.indices.map { index in
                Array(UnsafeBufferPointer(start: all[inputs.count + index], count: inputs[index].count))
            }
        }
        let step: Float = 0x1p-6
        for (index, input) in inputs.enumerated() {
            for element in input.indices {
                var (up, down) = (inputs, inputs)
                up[index][element] += step
                down[index][element] -= step
                let difference =
                    (try loss(up) - loss(down)) / (Double(up[index][element]) - Double(down[index][element]))
                let gradient = Double(gradients[index][element]) - (adds.contains(index) ? 1 : 0)
                #expect(
                    abs(gradient - difference) < 2e-3 * max(1, abs(difference)), "input \(index), element \(element)",
                    sourceLocation: location)
            }
        }
    }

    @Test("linear, with and without bias, over strided rows")
    func linear() throws {
        let (R, C, O, stride) = (6, 5, 4, 7)
        // The gap between rows is never read: its gradient stays as it was.
        try Self.check(
            inputs: [Self.random(R * stride, 1), Self.random(O * C, 2), Self.random(O, 3)], outputCount: R * O,
            adds: [0, 1, 2],
            forward: {
                linearForward($1, outStride: O, $0[0], xStride: stride, weight: $0[1], bias: $0[2], R: R, C: C, O: O)
            },
            backward: {
                linearBackward(
                    dx: $2[0], dWeight: $2[1], dBias: $2[2], $1, outStride: O, $0[0], xStride: stride, weight: $0[1],
                    R: R, C: C, O: O, accumulate: true)
            })
        try Self.check(
            inputs: [Self.random(R * C, 1), Self.random(O * C, 2)], outputCount: R * O, adds: [1],
            forward: { linearForward($1, outStride: O, $0[0], xStride: C, weight: $0[1], bias: nil, R: R, C: C, O: O) },
            backward: {
                linearBackward(
                    dx: $2[0], dWeight: $2[1], dBias: nil, $1, outStride: O, $0[0], xStride: C, weight: $0[1], R: R,
                    C: C,
                    O: O)
            })
    }

    @Test("layer norm, over widths with and without whole lanes", arguments: [5, 16, 19])
    func layerNorm(_ C: Int) throws {
        let R = 65
        // One row more than a part has.
        let room = [R, R, layerNormPartCount(R: R) * 2 * C].map { [Float](repeating: .nan, count: $0) }
        try Self.withBuffers(room) {
            let (mean, rstd, scratch) = ($0[0], $0[1], $0[2])
            return Result {
                try Self.check(
                    inputs: [Self.random(R * C, 1), Self.random(C, 2), Self.random(C, 3)], outputCount: R * C,
                    adds: [0, 1, 2],
                    forward: {
                        layerNormForward(
                            $1, mean: mean, rstd: rstd, $0[0], xStride: C, weight: $0[1], bias: $0[2], R: R, C: C,
                            eps: 1e-5)
                    },
                    backward: {
                        layerNormBackward(
                            dx: $2[0], dWeight: $2[1], dBias: $2[2], $1, $0[0], xStride: C, mean: mean, rstd: rstd,
                            weight: $0[1], R: R, C: C, scratch: scratch)
                    })
            }
        }.get()
    }

    @Test(
        "attention with its input projection, for all queries and for the class token's alone, masked and not",
        arguments: [3, 1], [false, true])
    func attention(_ R: Int, isMasked: Bool) throws {
        let (B, T, C, H) = (2, 3, 10, 2)
        let sizes = AttentionSizes(B: B, T: T, R: R, C: C, H: H)
        func zeros(_ count: Int) -> [Float] { [Float](repeating: 0, count: count) }
        let room = [
            zeros(B * T * 3 * C), zeros(B * H * R * T), zeros(B * T * 3 * C), [1, 1, 0, 1, 0, 1], zeros(B * H * R * T),
        ]
        try Self.withBuffers(room) { room in
            Result {
                try Self.check(
                    inputs: [Self.random(B * T * C, 1), Self.random(3 * C * C, 2), Self.random(3 * C, 3)],
                    outputCount: B * R * C, adds: [1, 2],
                    forward: {
                        qkvForward(room[0], $0[0], weight: $0[1], bias: $0[2], sizes)
                        attentionForward(
                            $1, probabilities: room[1], room[0], mask: isMasked ? UnsafePointer(room[3]) : nil, sizes)
                    },
                    backward: {
                        attentionBackward(
                            dQKV: room[2], $1, room[0], probabilities: room[1], scratch: room[4], sizes)
                        qkvBackward(
                            dx: $2[0], dWeight: $2[1], dBias: $2[2], room[2], $0[0], weight: $0[1], sizes)
                    })
            }
        }.get()
    }

    @Test("keys that are masked weigh exactly nothing: as if they were not there")
    func maskedAttention() {
        let (T, C, H) = (11, 6, 2)
        let qkv = Self.random(T * 3 * C, 1)
        func attended(_ T: Int, mask: [Float]?) -> (out: [Float], probabilities: [Float]) {
            var out = [Float](repeating: .nan, count: T * C)
            var probabilities = [Float](repeating: .nan, count: H * T * T)
            out.withUnsafeMutableBufferPointer { out in
                probabilities.withUnsafeMutableBufferPointer { probabilities in
                    qkv.withUnsafeBufferPointer { qkv in
                        guard let out = out.baseAddress, let p = probabilities.baseAddress, let x = qkv.baseAddress
                        else { return }
                        let sizes = AttentionSizes(B: 1, T: T, R: T, C: C, H: H)
                        if let mask {
                            mask.withUnsafeBufferPointer {
                                attentionForward(out, probabilities: p, x, mask: $0.baseAddress, sizes)
                            }
                        } else {
                            attentionForward(out, probabilities: p, x, sizes)
                        }
                    }
                }
            }
            return (out, probabilities)
        }
        let there = 9
        let short = attended(there, mask: nil).out
        let masked = attended(T, mask: (0..<T).map { $0 < there ? 1 : 0 })
        #expect(zip(short, masked.out).allSatisfy { abs($0 - $1) < 1e-6 })
        for row in 0..<H * T {
            #expect(masked.probabilities[row * T + there..<(row + 1) * T].allSatisfy { $0 == 0 })
        }
    }

    @Test("a team computes the bits of one thread, forward and backward")
    func team() throws {
        let shape = ImageShape(channels: 2, height: 20, width: 20)
        // Wide enough for products to be cut.
        let network = try Transformer(
            TransformerConfig(
                stem: .patches(PatchStem(image: shape, patchSize: 4)), hiddenSize: 192, layerCount: 2, headCount: 3,
                mlpSize: 400, layerScale: true, pooling: .mean))
        let images = InputSet.images(try ImageSet(values: Self.random(8 * 2 * 400, 3), count: 8, shape: shape))
        let parameters = try FloatBuffer(Self.random(network.parameterCount, 4))
        func pass(threads: Int) throws -> [Float] {
            let workspace = try network.workspace(
                capacity: 8, tokenCount: network.tokenCount(of: images), purpose: .training)
            let gradient = try FloatBuffer(count: network.parameterCount)
            let slope = try FloatBuffer(Self.random(8 * 192, 5))
            let features = Team.lead(of: threads) {
                let features = Array(0..<8).withUnsafeBufferPointer {
                    workspace.forward(parameters.pointer, images, rows: $0)
                }
                workspace.backward(parameters.pointer, dFeatures: slope.pointer, grads: gradient.pointer)
                return Array(UnsafeBufferPointer(start: features, count: 8 * 192))
            }
            return features + gradient.numbers
        }
        // Holds OpenBLAS to the calling thread.
        _ = ComputeBudget(threads: 1)
        let passes = try [1, 2, 5].map(pass)
        #expect(passes[0].allSatisfy { $0.isFinite })
        // Arrays as they are would be shown, with all their differences.
        let areSame = passes[1] == passes[0] && passes[2] == passes[0]
        #expect(areSame)
    }

    @Test(
        "patch embedding with learned tokens, and positions of all tokens, of patches or of the first and patches",
        arguments: [(1, PatchStem.Positions.allTokens), (3, .patches), (3, .classAndPatches), (0, .allTokens)])
    func patchEmbedding(prefixCount: Int, positions: PatchStem.Positions) throws {
        let stem = PatchStem(
            image: ImageShape(channels: 3, height: 4, width: 6), patchSize: 2, prefix: [.init("tokens", prefixCount)],
            positions: positions)
        let sizes = PatchSizes(B: 2, C: 3, h: 4, w: 6, P: 2, F: prefixCount)
        let (O, K, T) = (5, sizes.K, sizes.T)
        let images = try ImageSet(
            values: Self.random(2 * 3 * 4 * 6, 9), count: 2, shape: ImageShape(channels: 3, height: 4, width: 6))
        try Self.withBuffers([[Float](repeating: .nan, count: 2 * T * K), [Float](repeating: .nan, count: T * O)]) {
            room in
            [1, 0].withUnsafeBufferPointer { gatherPatches(room[0], images, rows: $0, sizes) }
            return Result {
                try Self.check(
                    inputs: [
                        Self.random(O * K, 1), Self.random(O, 2), Self.random(prefixCount * O, 3),
                        Self.random(stem.positionCount * O, 4),
                    ],
                    outputCount: 2 * T * O, adds: [0, 1, 2, 3],
                    forward: {
                        patchEmbeddingForward(
                            $1, patches: room[0], weight: $0[0], bias: $0[1], prefix: $0[2], position: $0[3],
                            positionRows: stem.positionRows, sizes, O: O)
                    },
                    backward: {
                        patchEmbeddingBackward(
                            dWeight: $2[0], dBias: $2[1], dPrefix: $2[2], dPosition: $2[3],
                            positionRows: stem.positionRows, $1, patches: room[0], scratch: room[1], sizes, O: O)
                    })
            }
        }.get()
    }

    @Test("mean pooling of a range of tokens, and of those that are not masked")
    func meanPooling() throws {
        try Self.check(
            inputs: [Self.random(2 * 4 * 5, 1)], outputCount: 2 * 5,
            forward: { meanPoolingForward($1, $0[0], tokens: 1..<3, B: 2, T: 4, C: 5) },
            backward: { meanPoolingBackward(dx: $2[0], $1, tokens: 1..<3, B: 2, T: 4, C: 5) })
        try Self.withBuffers([[1, 1, 0, 0, 0, 1, 1, 1]]) { mask in
            Result {
                try Self.check(
                    inputs: [Self.random(2 * 4 * 5, 1)], outputCount: 2 * 5,
                    forward: { maskedMeanForward($1, $0[0], mask: mask[0], B: 2, T: 4, C: 5) },
                    backward: { maskedMeanBackward(dx: $2[0], $1, mask: mask[0], B: 2, T: 4, C: 5) })
            }
        }.get()
    }

    @Test("a linear layer added to a stream of strided rows, scaled and not", arguments: [false, true])
    func residual(isScaled: Bool) throws {
        let (R, C, O, stride) = (4, 5, 3, 6)
        let zeros = [Float](repeating: .nan, count: R * O)
        try Self.withBuffers([zeros, zeros, Self.random(R * stride, 5)]) { room in
            Result {
                try Self.check(
                    inputs: [Self.random(R * C, 1), Self.random(O * C, 2), Self.random(O, 3)]
                        + (isScaled ? [Self.random(O, 4)] : []), outputCount: R * O, adds: [1, 2, 3],
                    forward: {
                        residualForward(
                            $1, branch: room[0], room[2], xStride: stride, $0[0], weight: $0[1], bias: $0[2],
                            gamma: isScaled ? $0[3] : nil, R: R, C: C, O: O)
                    },
                    backward: {
                        residualBackward(
                            dInput: $2[0], dWeight: $2[1], dBias: $2[2], dGamma: isScaled ? $2[3] : nil, $1,
                            branch: room[0], $0[0], weight: $0[1], gamma: isScaled ? $0[3] : nil, scratch: room[1],
                            R: R, C: C, O: O)
                    })
            }
        }.get()
    }

    @Test("heads of both kinds side by side")
    func heads() throws {
        let (B, C, K) = (2, 5, 7)
        let bank = HeadBank([
            try ClassificationHead(name: "plain", weight: Self.random(3 * C, 1), classCount: 3, bias: [1, 2, 3]),
            try ClassificationHead(
                name: "cosine", weight: Self.random(4 * C, 2), classCount: 4, bias: [1, 0, 2, 0], logitScale: 3,
                normalizesFeature: true),
        ])
        let zeros = [[Float](repeating: 0, count: B), [Float](repeating: 0, count: B * K)]
        try Self.withBuffers(zeros) { room in
            Result {
                try Self.check(
                    inputs: [Self.random(B * C, 3).map { 2 * $0 }], outputCount: B * K,
                    forward: {
                        bank.forward($1, inverseNorms: room[0], features: $0[0], B: B)
                        room[1].update(from: $1, count: B * K)
                    },
                    backward: {
                        bank.backward(
                            dFeatures: $2[0], dLogits: $1, logits: room[1], features: $0[0], inverseNorms: room[0],
                            B: B)
                    })
            }
        }.get()
    }
}
