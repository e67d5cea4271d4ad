import Checkpoints
import Merging
import TensorCore
import Testing

@Suite("PCB") struct PCBTests {
    private func model(_ values: [Double]) throws -> TensorStore { try makeModel([TestTensor("w", values)]) }

    private func merged(_ experts: [[Double]], _ values: [String: ParameterValue]) throws -> Merged {
        var parameters = MergeParameters(["lambda": .number(1), "clip_ratio": .number(0)])
        for (key, value) in values { parameters[key] = value }
        return try merge("pcb", base: model([0, 0, 0, 0]), try experts.map(model), parameters)
    }

    /// With one expert an entry that scores at all stays whole. Scores grow with the magnitudes, so that entries above the order statistic
    /// int(4 · (1 − ratio)) are left.
    @Test("keeps the entries above a quantile", arguments: [1, 0.75, 0.5, 0.1])
    func quantile(ratio: Double) throws {
        let expected = [1.0, -2, 3, 4].enumerated().map { $0 > Int(4 * (1 - ratio)) ? $1 : 0.0 }
        for scope in ["model", "tensor"] {
            for cross in ["raw", "unit"] {
                let values: [String: ParameterValue] = [
                    "pcb_ratio": .number(ratio), "scope": .text(scope), "cross": .text(cross),
                ]
                #expect(try merged([[1, -2, 3, 4]], values).store.values("w") == expected)
                // An expert that changes nothing, and one that changes all alike, compete with nobody.
                #expect(try merged([[1, -2, 3, 4], [0, 0, 0, 0]], values).store.values("w") == expected)
                #expect(try merged([[1e-9, -1e-9, 1e-9, 1e-9]], values).store.values("w") == [0, 0, 0, 0])
            }
        }
    }

    @Test("weights scale what an expert has, and magnitudes are clipped at both ends")
    func weightsAndClips() throws {
        let kept: [String: ParameterValue] = ["pcb_ratio": .number(1), "weight": .number(3)]
        #expect(try merged([[1, -2, 3, 4]], kept).store.values("w") == [0, -6, 9, 12])
        // The places of the clips are int(4 · 0.25) and int(4 · 0.75 − 1) of the magnitudes in order: 2 and 3.
        let clipped: [String: ParameterValue] = ["pcb_ratio": .number(1), "clip_ratio": .number(0.25)]
        #expect(try merged([[1, -2, 3, 4]], clipped).store.values("w") == [0, -2, 3, 3])
    }

    @Test("what varies with the tensor cannot be one measure for the model, and NaN stays in its entry")
    func limits() throws {
        var parameters = MergeParameters { name, _, _ in name == "pcb_ratio" ? .number(0.3) : nil }
        parameters.varying = ["pcb_ratio"]
        let error = try #require(throws: MergeError.self) {
            _ = try merge("pcb", base: model([0, 0, 0, 0]), [model([1, 2, 3, 4])], parameters)
        }
        #expect(error.code == "merge.bad_parameter")
        parameters["scope"] = .text("tensor")
        _ = try merge("pcb", base: model([0, 0, 0, 0]), [model([1, 2, 3, 4])], parameters)
        let values = try merged([[1, -2, .nan, 4]], ["pcb_ratio": .number(1)]).store.values("w")
        #expect(values[2].isNaN && values[0] == 1 && values[1] == -2 && values[3] == 4)
    }
}
