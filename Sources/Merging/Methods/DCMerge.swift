// DC-Merge: the strongest directions of every task, in bases that cover all of them, with few entries and elected signs.
//
//     k        = int(min(m, n) · (1 / N)), or `rank`;   w = min(m, n), or N · rank
//     X_i      = U_i S'_i V_iᵀ of the k largest singular triplets of τ_i; S' keeps the sum E of S:
//                smoothing=none S,  average E / k,  linear along a line from min(`rho`, s_1 / s_k) to 1
//     P, Q     = polar([U_1 | … | U_N]), polar([V_1 | … | V_N]),   C_i = Pᵀ X_i Q
//     keep     the max(1, int(`keep` · w²)) largest entries of each C_i, and those equal to the last
//     C        = mean of the entries whose sign is that of Σ C_i, in the N diagonal blocks of ⌊w / N⌋, else 0
//     θ = θ₀ + λ P C Qᵀ
//
// "DC-Merge", 2026, arXiv:2603.06242, and its code, which smooths adapters only (`rank=16`, `smoothing=average`) although the paper
// begins with it. `keep` is a share of w², not of directions: at w = 768 the default leaves 589 numbers of 96 directions a
// task, at w = 24 one. Where it leaves fewer than k, a note in the report says so. Tensors that are not matrices get the mean
// task vector. Directions below the numerical rank are left out, where the authors' program mixes arbitrary vectors in. N + 2
// decompositions of each matrix, in F64 through Gram matrices.

import Kernels
import TensorCore

struct DCMerge: MergeMethod {
    private static let rank = ParameterKey(
        "rank", default: 0, range: 0...0x1p53,
        help: "Singular directions of each task, at most their share; 0: that.")
    private static let smoothing = ParameterKey(
        "smoothing", default: Smoothing.none, help: "What becomes of the singular values that are kept.")
    private static let rho = ParameterKey(
        "rho", default: 5.0, range: 1...Double.greatestFiniteMagnitude,
        help: "The largest value over the smallest, for smoothing=linear.")
    private static let keep = ParameterKey(
        "keep", default: 1e-3, range: 0...1, help: "Share of the entries in the common bases that is kept.")

    let info = MethodInfo(
        name: "dc_merge", summary: "Strongest directions of every task in bases that cover all, with elected signs.",
        paper: "2026, arXiv:2603.06242", needsBase: true,
        parameters: [rank, smoothing, rho, keep] + MatrixSelection.parameters)

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try MatrixSelection(arguments).assign(tensors) { arguments throws(MergeError) in
            let rank = try arguments[Self.rank]
            return CoveredDirections(
                lambda: try arguments[.lambda], rank: rank == 0 ? nil : rank, smoothing: try arguments[Self.smoothing],
                rho: try arguments[Self.rho], keep: try arguments[Self.keep])
        }
    }
}

/// What becomes of the singular values of a task.
enum Smoothing: String, CaseIterable, ParameterType {
    case none, average, linear

    /// Values with the same sum.
    ///
    /// - Parameter values: in descending order, above 0.
    func callAsFunction(_ values: [Double], rho: Double) -> [Double] {
        let sum = values.reduce(0, +)
        switch self {
        case .none: return values
        case .average: return values.map { _ in sum / Double(values.count) }
        case .linear:
            guard let first = values.first, let last = values.last, values.count > 1 else { return values }
            let top = min(rho, first / last)
            let line = values.indices.map { top + (1 - top) * Double($0) / Double(values.count - 1) }
            let total = line.reduce(0, +)
            return line.map { sum * $0 / total }
        }
    }
}

/// P C Qᵀ, scaled.
struct CoveredDirections: MatrixRule {
    let lambda: Double
    let rank: Int?
    let smoothing: Smoothing
    let rho: Double
    let keep: Double

    var isBasisFree: Bool { true }

    /// Singular triplets of each expert.
    private func share(rows: Int, columns: Int, expertCount: Int) -> Int {
        let most = OrthogonalizedTaskVectors.rankShare(rows: rows, columns: columns, expertCount: expertCount)
        return min(rank ?? most, most)
    }

    func workingByteCount(rows: Int, columns: Int, expertCount: Int) throws -> Int {
        let share = share(rows: rows, columns: columns, expertCount: expertCount)
        let capacity = share * expertCount
        // Beside the triplets: roots of both bases; a core, sums, and what agrees.
        return try OrthogonalTriplets.workingByteCount(
            rows: rows, columns: columns, capacity: capacity, share: share)
            + 8 * (7 * capacity * capacity + share * capacity) + (512 << 10)
    }

    func merge(_ inputs: MatrixInputs, into result: Matrix<Float>) throws -> MergeRemark? {
        let (rows, columns, experts) = (inputs.rows, inputs.columns, inputs.experts.count)
        let share = share(rows: inputs.wholeRows, columns: inputs.wholeColumns, expertCount: experts)
        guard share > 0 else {
            result.values.update(repeating: 0)
            return MergeRemark(crowding: min(rows, columns), expertCount: experts)
        }
        var triplets = try OrthogonalTriplets(
            rows: rows, columns: columns, capacity: min(share * experts, rows, columns))
        var tasks: [Range<Int>] = []
        var cut: [String] = []
        for expert in 0..<experts {
            // The result's memory is free until the end.
            inputs.readTaskVector(of: expert, into: result)
            let start = triplets.count
            let rank = try triplets.append(result, wanted: share)
            tasks.append(start..<triplets.count)
            if rank < share { cut.append("\(rank) of \(share) for expert \(expert + 1)") }
        }
        guard triplets.count > 0 else {
            result.values.update(repeating: 0)
            return nil
        }
        let width = rank == nil ? min(inputs.wholeRows, inputs.wholeColumns) : experts * share
        let keptCount = max(1, Int(keep * Double(width) * Double(width)))
        let bases = try triplets.coverBases()
        let core = try elect(triplets, tasks, keeping: keptCount, in: bases)
        confine(core, to: width / experts, tasks: tasks, share: share)
        try triplets.product(core, scaledBy: lambda, in: bases, into: result)
        return MergeRemark(ranks: cut)
            ?? (keptCount < share
                ? MergeRemark(kind: .sparse, text: "\(keptCount) entries kept of \(share) directions for each expert")
                : nil)
    }

    /// The mean of the entries that agree with the sign of their sum.
    private func elect(
        _ triplets: OrthogonalTriplets, _ tasks: [Range<Int>], keeping keptCount: Int, in bases: CoverBases
    ) throws -> Matrix<Double> {
        let count = triplets.count
        let own = try Matrix<Double>(rows: count, columns: count)
        let sum = try Matrix<Double>(rows: count, columns: count)
        let agreeing = try Matrix<Double>(rows: count, columns: count)
        let voters = try Matrix<Double>(rows: count, columns: count)
        // Once for the sums, once for what agrees with them: a core for each expert would take N times the memory.
        for isElected in [false, true] {
            for task in tasks where !task.isEmpty {
                let values = smoothing(Array(triplets.singularValues[task]), rho: rho)
                try triplets.express(task, values: values, in: bases, into: own)
                let least = largestMagnitude(number: keptCount, among: own.pointer, count: own.count)
                for i in 0..<own.count where abs(own.pointer[i]) >= least {
                    let value = own.pointer[i]
                    if !isElected {
                        sum.pointer[i] += value
                    } else if value * sum.pointer[i] > 0 {
                        agreeing.pointer[i] += value
                        voters.pointer[i] += 1
                    }
                }
            }
        }
        for i in 0..<agreeing.count where voters.pointer[i] > 1 { agreeing.pointer[i] /= voters.pointer[i] }
        return agreeing
    }

    /// Leaves what lies in one of the diagonal blocks. Experts have `share` places each, of which the last may be empty.
    private func confine(_ core: Matrix<Double>, to size: Int, tasks: [Range<Int>], share: Int) {
        let blocks = tasks.enumerated().flatMap { expert, task in
            task.map { (expert * share + $0 - task.lowerBound) / size }
        }
        for row in blocks.indices {
            for column in blocks.indices where blocks[row] != blocks[column] {
                core.pointer[row * core.columns + column] = 0
            }
        }
    }
}
