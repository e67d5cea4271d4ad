// RegMean: for every linear layer the weights that come closest to what all experts' layers put out on their own data.
//
//     minimise over W   Σ ‖X_i Wᵀ − X_i W_iᵀ‖²,   so   W = (Σ W_i G_i) (Σ G_i)⁻¹     with G_i = X_iᵀ X_i / n_i,
//     entries of G_i beside the diagonal multiplied by `off_diagonal_scale`
//     θ = θ₀ + λ (W − θ₀)
//
// Jin et al. 2023, "Dataless knowledge fusion by merging weights of language models", arXiv:2212.09849, which recommends an
// off-diagonal scale of 0.9. `statistics` names one checkpoint for each expert with G_i `[in, in]` of its layers, under the
// name that the weight has in the expert, whatever numbers slices of a recipe give to its layers, or that name without
// `.weight`; of a stack of experts [E, m, n] they are [E, n, n]. Solved for the task vectors, which gives the same W, by Cholesky in F64; a matrix that is not positive definite to
// rounding gets the least jitter that makes it so, and a note in the report. Tensors without statistics get the mean task
// vector.

import Kernels
import TensorCore

struct RegMean: MergeMethod {
    private static let offDiagonalScale = ParameterKey(
        "off_diagonal_scale", default: 0.9, range: 0...1,
        help: "Factor of the inner products between different inputs of a layer.")

    let info = MethodInfo(
        name: "regmean", summary: "Linear layers fitted to what every expert's layer puts out on its own data.",
        paper: "Jin et al. 2023, arXiv:2212.09849", needsBase: true,
        parameters: [ExpertStatistics.parameter, offDiagonalScale] + MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let assignment = try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            OutputRegression(
                lambda: try arguments[.lambda], offDiagonalScale: try arguments[Self.offDiagonalScale], grams: [])
        }
        var rules = assignment.rules
        let regressions = rules.enumerated().compactMap { place, rule in
            if case .matrix(let rule as OutputRegression) = rule { (place: place, rule: rule) } else { nil }
        }
        let statistics = try ExpertStatistics(
            of: regressions.map { (tensors[$0.place].name, ExpertStatistics.gramShape(of: tensors[$0.place])) },
            among: tensors, orWithout: ".weight", arguments)
        for (place, rule) in regressions {
            rules[place] =
                if let grams = statistics[tensors[place].name] {
                    .matrix(
                        OutputRegression(lambda: rule.lambda, offDiagonalScale: rule.offDiagonalScale, grams: grams))
                } else {
                    MatrixSelection.mean(lambda: rule.lambda, expertCount: arguments.expertCount)
                }
        }
        return MergeAssignment(rules: rules, warnings: assignment.warnings + statistics.warnings)
    }
}

/// (Σ τ_i G_i) (Σ G_i)⁻¹, scaled.
struct OutputRegression: MatrixRule {
    let lambda: Double
    let offDiagonalScale: Double
    let grams: [StatisticsTensor]

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        try SymmetricSystem.workingByteCount(order: columns, sideCount: rows) + 4 * columns * columns
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let (rows, columns) = (inputs.rows, inputs.columns)
        let gram = try Matrix<Float>(rows: columns, columns: columns)
        let system = try SymmetricSystem(order: columns, sideCount: rows)
        for expert in inputs.experts.indices {
            inputs.readTaskVector(of: expert, into: result)
            grams[expert].read(
                from: inputs.number * gram.count, count: gram.count, into: gram.pointer)
            system.add(gram, offDiagonalScale: offDiagonalScale, times: result, weight: 1)
        }
        let jitter = try system.solve(into: result, scale: lambda)
        return jitter == 0
            ? nil
            : MergeRemark(
                kind: .underdetermined,
                text:
                    "the sum of the statistics is singular to rounding; \(jitter) of its mean diagonal was added to it")
    }
}
