// Methods of matrices at the size of the ranks of adapters.
//
//     [B_1 … B_N] = Q_B …,  [A_1; …; A_N] = … Q_A,   K_i = s_i Q_Bᵀ B_i A_i Q_Aᵀ,   ΔW = Q_B f(K) Q_A
//
// For 8 adapters of rank 16 the cores are 128 by 128, whatever the weights. The same as f of the ΔW_i themselves, up to rounding, where
// f is linear or keeps to rotations of rows and columns: `MatrixRule.isBasisFree`. Core spaces are those of "Accurate and
// efficient low-rank model merging in core space", 2025, arXiv:2509.17786.

import Kernels
import TensorCore

/// Merges the cores of changes by the rule for their weight.
struct CoreRule: AdapterRule {
    private let rule: MergeRule
    /// What is done to the singular values of the result; they are those of the core.
    private let correction: SpectrumCorrection?
    private let weight: AdaptedWeight
    private let expertCount: Int
    private let rank: Int?

    /// Takes a rule.
    ///
    /// - Parameter rank: of the result, at most; nil keeps all of it.
    /// - Returns: nil for a rule that needs the weights.
    init?(
        _ rule: MergeRule, _ correction: SpectrumCorrection?, of weight: AdaptedWeight, expertCount: Int, rank: Int?
    ) {
        switch rule {
        case .matrix(let rule) where rule.isBasisFree: break
        case .elementwise(let rule) where rule.isLinear: break
        case .matrix, .elementwise, .surveyed, .grouped: return nil
        }
        self.rule = rule
        self.correction = correction
        self.weight = weight
        self.expertCount = expertCount
        self.rank = rank
    }

    func workingByteCount(ranks: [Int]) throws -> Int {
        let sum = ranks.reduce(0, +)
        let (rows, columns) = (min(weight.outputs, sum), min(weight.inputs, sum))
        var bytes = try CoreSpace.workingByteCount(
            rows: weight.outputs, columns: weight.inputs, rank: sum, count: ranks.count)
        bytes += try SingularValueDecomposition<Double>.workingByteCount(rows: rows, columns: columns)
        if case .matrix(let rule) = rule {
            bytes += try rule.workingByteCount(rows: rows, columns: columns, expertCount: expertCount)
        }
        bytes += try correction?.workingByteCount(rows: rows, columns: columns) ?? 0
        return bytes + 32 * rows * columns
    }

    func merge(_ changes: [AdapterChange]) throws -> (change: FactoredMatrix, remark: String?) {
        let space = try CoreSpace(of: changes.map { ($0.matrix, $0.scale) })
        // Rules see a weight as it is stored.
        let sides =
            weight.isTransposed
            ? (rows: weight.inputs, columns: weight.outputs) : (rows: weight.outputs, columns: weight.inputs)
        let zero = try core(space)
        var cores = [Matrix<Double>](repeating: zero, count: expertCount)
        for (change, core) in zip(changes, space.cores) {
            cores[change.adapter] = weight.isTransposed ? try core.turned() : core
        }
        let merged = try core(space)
        // Safety: sources read what `cores` and `zero` hold, which live until the merge is done.
        let (epsilon, remark) = try withExtendedLifetime((cores, zero)) {
            let inputs = MatrixInputs(
                number: 0, rows: merged.rows, columns: merged.columns, base: zero.source,
                experts: cores.map(\.source), coreSides: sides)
            let (epsilon, remark) = try merge(inputs, into: merged)
            guard let correction else { return (epsilon, remark) }
            let change = try Matrix<Float>(rows: merged.rows, columns: merged.columns)
            for i in 0..<merged.count { change.pointer[i] = Float(merged.pointer[i]) }
            try correction.correct(change, of: inputs)
            for i in 0..<merged.count { merged.pointer[i] = Double(change.pointer[i]) }
            return (Double(Float.ulpOfOne), remark)
        }
        let change = try FactoredMatrix(
            destroying: weight.isTransposed ? merged.turned() : merged, keeping: rank, epsilon: epsilon)
        return (try space.matrix(of: change), remark)
    }

    private func core(_ space: CoreSpace) throws -> Matrix<Double> {
        weight.isTransposed
            ? try Matrix(rows: space.columns, columns: space.rows)
            : try Matrix(rows: space.rows, columns: space.columns)
    }

    /// Merges cores.
    ///
    /// - Returns: the rounding of the result's numbers, and what the user should know.
    private func merge(
        _ inputs: MatrixInputs, into merged: Matrix<Double>
    ) throws -> (epsilon: Double, remark: String?) {
        switch rule {
        case .matrix(let rule):
            let result = try Matrix<Float>(rows: merged.rows, columns: merged.columns)
            let remark = try rule.merge(inputs, into: result)
            for i in 0..<merged.count { merged.pointer[i] = Double(result.pointer[i]) }
            // That an adapter has fewer directions than its weight is what adapters are for.
            return (Double(Float.ulpOfOne), remark.flatMap { $0.kind == .rank ? nil : $0.text })
        case .elementwise(let rule):
            let chunk = MergeChunk(
                tensor: 0, number: 0, range: 0..<merged.count, base: inputs.base, experts: inputs.experts)
            let rowCount = rule.scratchRowCount(expertCount: inputs.experts.count)
            withUnsafeTemporaryAllocation(of: Double.self, capacity: rowCount * mergeBlockCapacity) { scratch in
                chunk.forEachBlock { offset, count in
                    rule.merge(
                        MergeBlock(
                            chunk: chunk, offset: offset, count: count, result: merged.pointer + offset,
                            scratch: scratch.baseAddress!))
                }
            }
            return (Double.ulpOfOne, nil)
        case .surveyed, .grouped: preconditionFailure("a rule that needs the weights")
        }
    }
}

extension Matrix<Double> {
    /// Its numbers as those of a tensor. Safety: valid while the matrix lives.
    fileprivate var source: MergeSource { MergeSource(bytes: UnsafeRawBufferPointer(values), dtype: .f64) }

    /// A copy of the transpose.
    fileprivate func turned() throws -> Matrix<Double> {
        let result = try Matrix<Double>(rows: columns, columns: rows)
        for row in 0..<rows {
            for column in 0..<columns { result.pointer[column * rows + row] = pointer[row * columns + column] }
        }
        return result
    }
}
