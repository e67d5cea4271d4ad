import Checkpoints
import Foundation
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

    /// Against the definition in plain loops. Two experts that mostly oppose each other have scores below zero at the quantile, and the entry
    /// that is at it counts nothing.
    @Test(
        "scores follow the definition where most are below zero", arguments: [0.1, 0.5, 0.9], [1 as UInt64, 2, 3, 4])
    func opposed(ratio: Double, seed: UInt64) throws {
        var numbers = TestNumbers(seed: seed)
        let first = numbers.list(120).map { Double(Float($0)) }
        let second = zip(first, numbers.list(120)).map { Double(Float(0.1 * $1 - 2 * $0)) }
        func sorted(_ values: [Double], at share: Double, _ less: Double = 0) -> Double {
            values.sorted()[max(0, min(values.count - 1, Int(Double(values.count) * share - less)))]
        }
        let changes = [first, second]
        let units = changes.map { change in
            let (least, most) = (sorted(change.map(abs), at: 0), sorted(change.map(abs), at: 1, 1))
            return change.map { (abs($0) - least) / (most - least) }
        }
        let scores = (0..<2).map { expert -> [Double] in
            (0..<120).map { i -> Double in
                let (unit, sum) = (units[expert][i], first[i] + second[i])
                return exp(2 * unit * unit) * tanh(changes[expert][i] * sum)
            }
        }
        let shares = scores.map { scores in
            let (lowest, highest) = (sorted(scores, at: 1 - ratio), scores.max() ?? 0)
            return scores.map { max(0, ($0 - lowest) / (highest - lowest)) }
        }
        let values = try merge(
            "pcb", base: makeModel([TestTensor("w", Array(repeating: 0, count: 120))]),
            changes.map { try makeModel([TestTensor("w", $0)]) },
            MergeParameters(["lambda": .number(1), "clip_ratio": .number(0), "pcb_ratio": .number(ratio)])
        ).store.values("w")
        for i in 0..<120 {
            let total = shares[0][i] + shares[1][i]
            let sum = shares[0][i] * first[i] + shares[1][i] * second[i]
            let expected = total == 0 ? 0 : sum / total
            #expect(abs(values[i] - expected) < 1e-5, "\(i)")
        }
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
