// WUDI: the task vector that interferes least with every expert, by its own weights alone.
//
//     minimise over M   Σ ‖(M − τ_i) τ_iᵀ‖² / ‖τ_i‖²          experts that did not change the matrix are left out
//     G_i = τ_iᵀ τ_i / ‖τ_i‖²,  G = Σ G_i,  B = Σ τ_i G_i;   half the gradient is M G − B
//     form=iterative    M = Σ τ_i, then `iterations` steps of Adam (β 0.9 and 0.999, ε 10⁻⁸) of `learning_rate`
//     form=closed       M = (Σ τ_i H_i) (Σ H_i)⁻¹ with H_i = (τ_iᵀ τ_i + reg I) / ‖τ_i‖², reg = `regularization`
//     θ = θ₀ + λ M
//
// Cheng et al. 2025, "Whoever started the interference should end it", arXiv:2503.08099, and its code, which computes the
// gradient anew from all experts in every step; with G and B a step is one matrix product. The closed form is that of the
// authors' code for other models. An entry moves by at most iterations · learning_rate, so the result of Adam depends on the
// scale of the changes. Tensors that are not matrices get the mean task vector; the paper leaves them at the base
// (others=base), as well as all matrices but those of attention and MLP (`matrix_exclude`).

import Kernels
import TensorCore

struct WUDI: MergeMethod {
    private enum Form: String, CaseIterable, ParameterType { case iterative, closed }

    private static let form = ParameterKey(
        "form", default: Form.iterative, help: "Steps from the sum of the task vectors, or the minimum at once.")
    private static let iterations = ParameterKey(
        "iterations", default: 300, range: 0...1e6, help: "Steps of the iterative form.")
    private static let learningRate = ParameterKey(
        "learning_rate", default: 1e-5, range: 0...1, help: "How far an entry moves in a step at most.")
    private static let regularization = ParameterKey(
        "regularization", default: 1e-5, range: 1e-12...Double.greatestFiniteMagnitude,
        help: "What the closed form adds to the diagonals.")

    let info = MethodInfo(
        name: "wudi", summary: "The task vector that interferes least with the experts' own weights.",
        paper: "Cheng et al. 2025, arXiv:2503.08099", needsBase: true,
        parameters: [form, iterations, learningRate, regularization] + MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            let lambda = try arguments[.lambda]
            switch try arguments[Self.form] {
            case .iterative:
                return InterferenceDescent(
                    lambda: lambda, stepCount: try arguments[Self.iterations],
                    learningRate: try arguments[Self.learningRate])
            case .closed: return LeastInterference(lambda: lambda, regularization: try arguments[Self.regularization])
            }
        }
    }
}

/// Adam from the sum of the task vectors towards the least interference.
struct InterferenceDescent: MatrixRule {
    let lambda: Double
    let stepCount: Int
    let learningRate: Double

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        guard max(rows, columns) <= largestMatrixDimension else { throw DecompositionError.tooLarge }
        // A task vector, B, gradient, two moments; G_i and G.
        return 4 * (5 * rows * columns + 2 * columns * columns)
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let (rows, columns) = (inputs.rows, inputs.columns)
        let taskVector = try Matrix<Float>(rows: rows, columns: columns)
        let pull = try Matrix<Float>(rows: rows, columns: columns)
        let gram = try Matrix<Float>(rows: columns, columns: columns)
        let own = try Matrix<Float>(rows: columns, columns: columns)
        result.values.update(repeating: 0)
        for expert in inputs.experts.indices {
            inputs.readTaskVector(of: expert, into: taskVector)
            let square = innerProduct(
                UnsafePointer(taskVector.pointer), UnsafePointer(taskVector.pointer),
                count: rows * columns)
            let norm = square.squareRoot()
            guard Float(norm).isFinite else { throw DecompositionError.notFinite }
            guard norm != 0 else { continue }
            let values = taskVector.pointer
            add(to: result.pointer, scaled: values, by: 1, count: rows * columns)
            // At unit length, as squares of very small or large numbers leave F32.
            for i in 0..<rows * columns { values[i] = Float(Double(values[i]) / norm) }
            multiply(
                columns, columns, rows, taskVector.transposed, taskVector.view, into: own.pointer, stride: columns)
            add(to: gram.pointer, scaled: own.pointer, by: 1, count: columns * columns)
            multiply(
                rows, columns, columns, taskVector.view, own.view, into: pull.pointer, stride: columns,
                accumulate: true, alpha: Float(norm))
        }
        try withExtendedLifetime(own) { try descend(result, gram: gram, pull: pull, gradient: taskVector) }
        let scale = Float(lambda)
        for i in 0..<rows * columns { result.pointer[i] *= scale }
        return nil
    }

    private func descend(
        _ point: Matrix<Float>, gram: Matrix<Float>, pull: Matrix<Float>, gradient: Matrix<Float>
    ) throws {
        let (rows, columns) = (point.rows, point.columns)
        let mean = try Matrix<Float>(rows: rows, columns: columns)
        let square = try Matrix<Float>(rows: rows, columns: columns)
        var (meanDecay, squareDecay) = (1.0, 1.0)
        // Safety: pointers into all of these are used up to the end.
        defer { withExtendedLifetime((point, gram, pull, gradient, mean, square)) {} }
        for _ in 0..<stepCount {
            multiply(
                rows, columns, columns, point.view, gram.view, into: gradient.pointer, stride: columns, alpha: 2)
            meanDecay *= 0.9
            squareDecay *= 0.999
            let rate = Float(learningRate / (1 - meanDecay))
            let correction = Float((1 - squareDecay).squareRoot())
            let (m, v, g) = (mean.pointer, square.pointer, gradient.pointer)
            let (x, b) = (point.pointer, pull.pointer)
            for i in 0..<rows * columns {
                let slope = g[i] - 2 * b[i]
                m[i] = m[i] + (slope - m[i]) * 0.1
                v[i] = v[i] * 0.999 + slope * slope * 0.001
                x[i] = x[i] - rate * m[i] / (v[i].squareRoot() / correction + 1e-8)
            }
        }
    }
}

/// The regularised minimum of the interference.
struct LeastInterference: MatrixRule {
    let lambda: Double
    let regularization: Double

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        try SymmetricSystem.workingByteCount(order: columns, sideCount: rows)
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let (rows, columns) = (inputs.rows, inputs.columns)
        let system = try SymmetricSystem(order: columns, sideCount: rows)
        for expert in inputs.experts.indices {
            inputs.readTaskVector(of: expert, into: result)
            let values = UnsafePointer(result.pointer)
            let square = innerProduct(values, values, count: rows * columns)
            if square != 0 { system.addGram(of: result, ridge: regularization, weight: 1 / square) }
        }
        try system.solve(into: result, scale: lambda)
        return nil
    }
}
