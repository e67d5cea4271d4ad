import Checkpoints
import Merging
import TensorCore
import Testing

/// Tensors `[E, m, n]` that are no experts by their names, and no matrices to methods that work on matrices.
@Suite struct StackWarningTests {
    @Test(arguments: ["tsv_m", "iso_c", "iso_cts", "wudi"]) func stacksThatAreNoMatricesAreToldOf(method: String) throws
    {
        let model = try makeModel([
            TestTensor("l.0.parts.up", Array(repeating: 1, count: 36), shape: [4, 3, 3]),
            TestTensor("l.0.q.weight", [1, 0, 0, 1], shape: [2, 2]),
        ])
        let other = try makeModel([
            TestTensor("l.0.parts.up", (0..<36).map(Double.init), shape: [4, 3, 3]),
            TestTensor("l.0.q.weight", [2, 0, 0, 1], shape: [2, 2]),
        ])
        // 36 of 40 numbers.
        let plan = try merge(method, base: model, [other]).plan
        #expect(
            plan.summary.warnings.map(\.text) == [
                "1 tensor (90 % of the weights) is averaged: not a matrix, such as \"l.0.parts.up\" [4, 3, 3]"
            ])
        let left = try merge(method, base: model, [other], MergeParameters(["others": .text("base")])).plan
        #expect(left.summary.warnings[0].text.contains("is left as in the base: not a matrix"))
        let flattened = try merge("knots_ties", base: model, [other]).plan.summary.warnings.map(\.text)
        #expect(
            flattened.contains {
                $0.contains("(90 % of the weights) is taken for one matrix with a row for each place")
            })
    }

    /// Class tokens, embeddings of positions and small kernels are no experts.
    @Test func tensorsThatAreNoStacksAreNotSpokenOf() throws {
        func model(_ value: Double) throws -> TensorStore {
            try makeModel([
                TestTensor("cls_token", [value, 1], shape: [1, 1, 2]),
                TestTensor("pos_embed", [value, 1, 2, 3, 4, 5], shape: [1, 3, 2]),
                // 4 of 112 numbers.
                TestTensor("patch.weight", [value, 1, 2, 3], shape: [1, 1, 2, 2]),
                TestTensor("w", (0..<100).map { Double($0) * value }, shape: [10, 10]),
            ])
        }
        for method in ["tsv_m", "knots_ties"] {
            #expect(try merge(method, base: model(1), [model(2)]).plan.summary.warnings.isEmpty)
        }
    }
}
