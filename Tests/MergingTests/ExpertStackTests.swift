import Checkpoints
import Merging
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Experts of a mixture that are stored as one tensor `[E, m, n]`: E matrices to every method that works on matrices.
@Suite("stacks of experts") struct ExpertStackTests {
    static let matrixMethods = RegistryTests.names.filter { RegistryTests.has("matrix_exclude", $0) }
    private static let expertCount = 24
    private static let layerCount = 2
    /// By name the rows and columns of each expert's matrix.
    private static let weights: [(name: String, rows: Int, columns: Int)] = [("gate_up", 8, 6), ("down", 6, 4)]
    private let folder = TemporaryFolder()

    /// A model whose experts lie in one tensor, or in one each.
    private func model(_ seed: UInt64, isFused: Bool) throws -> TensorStore {
        var numbers = TestNumbers(seed: seed)
        var tensors: [TestTensor] = []
        for layer in 0..<Self.layerCount {
            tensors.append(TestTensor(TensorName("layers.\(layer).attn"), numbers.list(36), shape: [6, 6]))
            for weight in Self.weights {
                let values = numbers.list(Self.expertCount * weight.rows * weight.columns)
                tensors += parts("layers.\(layer).experts", weight.name, values, weight.rows, weight.columns, isFused)
            }
            tensors.append(TestTensor(TensorName("layers.\(layer).norm"), numbers.list(6)))
        }
        return try makeModel(tensors)
    }

    private func parts(
        _ prefix: String, _ name: String, _ values: [Double], _ rows: Int, _ columns: Int, _ isFused: Bool
    ) -> [TestTensor] {
        guard !isFused else {
            return [
                TestTensor(TensorName("\(prefix).\(name)"), values, shape: [Self.expertCount, rows, columns])
            ]
        }
        return (0..<Self.expertCount).map { expert in
            TestTensor(
                TensorName("\(prefix).\(expert).\(name)"),
                Array(values[expert * rows * columns..<(expert + 1) * rows * columns]), shape: [rows, columns])
        }
    }

    /// Inner products of the inputs of all experts' layers.
    private func statistics(_ seed: UInt64, isFused: Bool) throws -> ParameterValue {
        var numbers = TestNumbers(seed: seed)
        var tensors: [TestTensor] = []
        for layer in 0..<Self.layerCount {
            for weight in Self.weights {
                let n = weight.columns
                var grams: [Double] = []
                for _ in 0..<Self.expertCount {
                    let x = numbers.list(20 * n)
                    for i in 0..<n {
                        for j in 0..<n { grams.append((0..<20).reduce(0) { $0 + x[n * $1 + i] * x[n * $1 + j] }) }
                    }
                }
                tensors += parts("layers.\(layer).experts", weight.name, grams, n, n, isFused)
            }
        }
        let store = try makeModel(tensors)
        let path = folder.file("statistics\(UInt32.random(in: 0 ... .max)).safetensors")
        let writer = try CheckpointFormat.makeWriter(.safetensors, at: path, declaring: store.descriptors)
        for (place, descriptor) in store.descriptors.enumerated() {
            try store.rawBytes(descriptor.name).withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
        }
        _ = try writer.finish()
        return .text(path.string)
    }

    private func merged(
        _ method: String, _ values: [String: ParameterValue], isFused: Bool, threads: Int = 2
    ) throws -> Merged {
        var parameters = MergeParameters(values)
        if RegistryTests.has("statistics", method) {
            parameters["statistics"] = .list(try (1...3).map { try statistics($0, isFused: isFused) })
        }
        let experts = try (2...4).map { try model($0, isFused: isFused) }
        return try merge(method, base: model(1, isFused: isFused), experts, parameters, threads: threads)
    }

    private func expectTwins(_ method: String, _ values: [String: ParameterValue] = [:]) throws {
        let fused = try merged(method, values, isFused: true)
        let apart = try merged(method, values, isFused: false).store
        #expect(!fused.plan.summary.warnings.contains { $0.code == "merge.stacks" })
        for descriptor in fused.store.descriptors {
            guard descriptor.shape.rank == 3 else {
                #expect(try fused.store.rawBytes(descriptor.name) == apart.rawBytes(descriptor.name))
                continue
            }
            let parts = descriptor.name.text.split(separator: ".")
            let bytes = try (0..<Self.expertCount).flatMap { expert in
                let name = (parts.dropLast() + ["\(expert)", parts[parts.count - 1]]).joined(separator: ".")
                return try apart.rawBytes(TensorName(name))
            }
            #expect(try fused.store.rawBytes(descriptor.name) == bytes, "\(descriptor.name)")
        }
        #expect(try merged(method, values, isFused: true, threads: 5).store.allBytes() == fused.store.allBytes())
    }

    @Test("merge to the bytes of experts that are stored apart", arguments: matrixMethods)
    func twins(method: String) throws {
        var values: [String: ParameterValue] = [:]
        if RegistryTests.has("iterations", method) { values["iterations"] = .number(5) }
        if RegistryTests.has("density", method) { values["density"] = .number(0.4) }
        try expectTwins(method, values)
    }

    @Test(
        "have their singular values corrected one by one",
        arguments: ["task_arithmetic", "tsv_m", "knots_ties", "linear"])
    func corrections(method: String) throws {
        try expectTwins(
            method,
            [
                "svc_alpha": .number(0.1), "boost_beta": .number(0.4), "lines_alpha": .number(0.5),
                "lines_beta": .number(0.5),
            ])
    }

    @Test("say which of them a remark is about, and are refused as one")
    func words() throws {
        let zeros = [Double](repeating: 0, count: 27)
        func model(_ values: [Double]) throws -> TensorStore {
            try makeModel([TestTensor("moe.up", values, shape: [3, 3, 3])])
        }
        // The second of three has one direction, the others all of theirs.
        var values = zeros
        for place in [0, 4, 8, 9, 18, 22, 26] { values[place] = 1 + Double(place) / 100 }
        let merged = try merge("iso_c", base: model(zeros), [model(values)])
        #expect(
            merged.report.notes.map(\.text) == [
                "matrix 2 of 3: singular directions kept up to the numerical rank: 1 of 3"
            ])
        values[20] = .nan
        for method in ["iso_c", "knots_ties"] {
            let error = try #require(throws: MergeError.self) {
                _ = try merge(method, base: model(zeros), [model(values)])
            }
            #expect(error.code == "merge.not_finite" && error.message.contains("\"moe.up\" holds 1 NaN in expert 1"))
        }
        let left = try merge(
            "iso_c", base: model(zeros), [model(values)], MergeParameters(["matrix_exclude": .text("moe*")]))
        #expect(left.report.nanCount == 1 && left.plan.summary.matrixCount == 0)
    }
}
