// ESM: the directions in which every expert's change moves the outputs of its own layer most, made orthogonal between experts.
//
//     G_i = X_iᵀ X_i of the layer's inputs,   τ_i G_i τ_iᵀ = E_i L_i E_iᵀ,   v_i = E_iᵀ τ_i,   ν_i = ‖τ_i‖     k = int(m / N)
//     q   = (L / mean L)^0.15, over its mean, of the k largest L;   U_i = E_i q,  V_i = ν_i² v_i q of those directions
//     U   = [U_1 | … | U_N],   V = those of all experts below one another, over mean(ν)²,
//           every column times the square of its length over their mean
//     M   = 2 mean σ(U) mean σ(V) polar(U) polar(V);    without statistics that of TSV-M
//     of matrices whose names differ in the number of the layer:  M (‖M‖ / mean ‖M‖)²,    θ = θ₀ + λ M
//
// "Essential subspace merging", 2026, arXiv:2602.20208, and its code, whose constants these are. `statistics` are those that RegMean
// reads: one checkpoint for each expert with G_i of its layers in its own network, which may be singular. The authors take 32 inputs of
// each task and tune λ, with optima below 1. The code leaves output projections of attention to TSV-M; here whoever gathers statistics
// decides. Directions with L = 0 to rounding are left out, where the code gives them weight. Tensors that are not matrices get the mean
// task vector. N + 2 decompositions of each matrix in F64, twice where a matrix is compared with those of other layers.

import Glibc
import Kernels
import TensorCore

struct ESM: MergeMethod {
    let info = MethodInfo(
        name: "esm", summary: "What moves each layer's outputs most on its expert's own data, made orthogonal.",
        paper: "2026, arXiv:2602.20208", needsBase: true, flattensSpectra: true,
        parameters: [ExpertStatistics.parameter] + MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        let assignment = try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            OrthogonalizedTaskVectors(lambda: try arguments[.lambda])
        }
        var rules = assignment.rules
        let places = rules.indices.filter { if case .matrix = rules[$0] { true } else { false } }
        let statistics = try ExpertStatistics(
            of: places.map { (tensors[$0].name, ExpertStatistics.gramShape(of: tensors[$0])) }, among: tensors,
            orWithout: ".weight", fate: "merged as by tsv_m", arguments)
        var matrices: [BalancedKinds.Member] = []
        for place in places {
            let tensor = tensors[place]
            guard let shape = tensor.matrices else { continue }
            let rule: any MatrixRule =
                if let grams = statistics[tensor.name] { EssentialSubspaces(grams: grams) } else {
                    OrthogonalizedTaskVectors(lambda: 1)
                }
            rules[place] = .grouped(matrices.count)
            let lambda = try arguments.forTensor(tensor.name)[.lambda]
            for number in 0..<shape.count {
                // Of the experts of a stack each is compared with its like in other layers.
                let kind = LayerName(tensor.name).map { TensorName("\($0.inLayer(0))[\(number)]") }
                matrices.append(
                    BalancedKinds.Member(
                        rule: rule, rows: shape.rows, columns: shape.columns, lambda: lambda, kind: kind))
            }
        }
        let expertCount = arguments.expertCount
        return MergeAssignment(
            rules: rules, grouped: { [matrices] in BalancedKinds(matrices, expertCount: expertCount) },
            warnings: assignment.warnings + statistics.warnings)
    }
}

/// 2 mean σ(U) mean σ(V) polar(U) polar(V).
struct EssentialSubspaces: MatrixRule {
    let grams: [StatisticsTensor]

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        let (square, squareOverflow) = max(rows, columns).multipliedReportingOverflow(by: max(rows, columns))
        guard max(rows, columns) <= largestMatrixDimension, !squareOverflow, square < Int.max >> 8 else {
            throw DecompositionError.tooLarge
        }
        let count = rows / expertCount * expertCount
        let stacks = count * (rows + columns)
        let expert = try SymmetricEigen.workingByteCount(order: rows) + 8 * (columns * columns + 2 * rows * columns)
        let whole = try [rows, columns].map {
            try SingularValueDecomposition<Double>.workingByteCount(rows: count, columns: $0)
        }.reduce(0, +)
        return 8 * (stacks + rows * rows) + max(expert, whole + 8 * (stacks + rows * columns))
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let (rows, columns, experts) = (inputs.rows, inputs.columns, inputs.experts.count)
        let share = rows / experts
        guard share > 0 else {
            result.values.update(repeating: 0)
            return MergeRemark(crowding: rows, expertCount: experts)
        }
        // Vectors as rows, those of an expert below those of the one before; places without a direction stay zero.
        let left = try Matrix<Double>(rows: share * experts, columns: rows)
        let right = try Matrix<Double>(rows: share * experts, columns: columns)
        var norms: [Double] = []
        var cut: [String] = []
        for expert in 0..<experts {
            // The result's memory is free until the end.
            inputs.readTaskVector(of: expert, into: result)
            norms.append(Double(frobeniusNorm(result)))
            let found = try findDirections(
                of: result, expert: expert, number: inputs.number, share: share, left, right,
                norm: norms[expert])
            if found < share, norms[expert] > 0 { cut.append("\(found) of \(share) for expert \(expert + 1)") }
        }
        let meanNorm = norms.reduce(0, +) / Double(experts)
        guard meanNorm > 0 else {
            result.values.update(repeating: 0)
            return nil
        }
        balanceColumns(right, over: meanNorm * meanNorm)
        let (first, second) = (try PolarFactor(destroying: left), try PolarFactor(destroying: right))
        try first.multiply(second, scaledBy: 2 * first.meanValue * second.meanValue, into: result)
        return MergeRemark(ranks: cut)
    }

    /// Writes the strongest directions of an expert into its places.
    ///
    /// - Returns: how many there are.
    private func findDirections(
        of taskVector: Matrix<Float>, expert: Int, number: Int, share: Int, _ left: Matrix<Double>,
        _ right: Matrix<Double>,
        norm: Double
    ) throws -> Int {
        let (rows, columns) = (taskVector.rows, taskVector.columns)
        let change = try Matrix<Double>(rows: rows, columns: columns)
        for i in 0..<change.count { change.pointer[i] = Double(taskVector.pointer[i]) }
        let moved = try Matrix<Double>(rows: rows, columns: rows)
        do {
            let gram = try Matrix<Double>(rows: columns, columns: columns)
            grams[expert].read(from: number * gram.count, count: gram.count, into: gram.pointer)
            let product = try Matrix<Double>(rows: rows, columns: columns)
            multiply(rows, columns, columns, change.view, gram.view, into: product.pointer, stride: columns)
            multiply(rows, rows, columns, product.view, change.transposed, into: moved.pointer, stride: rows)
        }
        let eigen = try SymmetricEigen(destroying: moved)
        let largest = eigen.values.last ?? 0
        // The square of what singular values are cut at.
        let noise = Double(max(rows, columns)) * Double(Float.ulpOfOne)
        let values = eigen.values.reversed().prefix(share).filter { $0 > noise * noise * largest }
        guard !values.isEmpty else { return 0 }
        let mean = values.reduce(0, +) / Double(share)
        let roots = values.map { pow($0 / mean, 0.15) }
        let meanRoot = roots.reduce(0, +) / Double(share)
        for (place, root) in roots.enumerated() {
            let weight = root / meanRoot
            let source = eigen.vectors.pointer + (rows - 1 - place) * rows
            let target = left.pointer + (expert * share + place) * rows
            for i in 0..<rows { target[i] = weight * source[i] }
        }
        multiply(
            values.count, columns, rows, .rows(left.pointer + expert * share * rows, stride: rows), change.view,
            into: right.pointer + expert * share * columns, stride: columns, alpha: norm * norm)
        return values.count
    }

    /// Divides V, and multiplies its columns by the square of their lengths over the mean of these.
    private func balanceColumns(_ matrix: Matrix<Double>, over divisor: Double) {
        var lengths = [Double](repeating: 0, count: matrix.columns)
        for row in 0..<matrix.rows {
            let values = matrix.pointer + row * matrix.columns
            for column in lengths.indices { lengths[column] += values[column] * values[column] }
        }
        for column in lengths.indices { lengths[column] = lengths[column].squareRoot() }
        let mean = lengths.reduce(0, +) / Double(lengths.count)
        guard mean > 0 else { return }
        for row in 0..<matrix.rows {
            let values = matrix.pointer + row * matrix.columns
            for column in lengths.indices {
                values[column] *= lengths[column] / mean * (lengths[column] / mean) / divisor
            }
        }
    }
}

/// The polar factor of vectors that lie below one another, as the two factors of its decomposition.
private struct PolarFactor {
    private let factors: SingularValueDecomposition<Double>
    private let rank: Int

    init(destroying stack: Matrix<Double>) throws {
        let longer = Double(max(stack.rows, stack.columns))
        factors = try SingularValueDecomposition(destroying: stack)
        let noise = 16 * longer * Double.ulpOfOne * (factors.singularValues.first ?? 0)
        rank = factors.singularValues.count { $0 > noise }
    }

    /// The mean of all singular values.
    var meanValue: Double { factors.singularValues.reduce(0, +) / Double(max(1, factors.rank)) }

    /// `scale · (this)ᵀ other`, rounded to F32.
    func multiply(_ other: PolarFactor, scaledBy scale: Double, into result: Matrix<Float>) throws {
        let (rows, columns) = (result.rows, result.columns)
        let core = try Matrix<Double>(rows: rank, columns: other.rank)
        Kernels.multiply(
            rank, other.rank, factors.u.rows, factors.u.transposed, other.factors.u.view, into: core.pointer,
            stride: other.rank, alpha: scale)
        let half = try Matrix<Double>(rows: rank, columns: columns)
        Kernels.multiply(
            rank, columns, other.rank, core.view, other.factors.vt.view, into: half.pointer, stride: columns)
        let product = try Matrix<Double>(rows: rows, columns: columns)
        Kernels.multiply(
            rows, columns, rank, factors.vt.transposed, half.view, into: product.pointer, stride: columns)
        for i in 0..<result.count { result.pointer[i] = Float(product.pointer[i]) }
    }
}
