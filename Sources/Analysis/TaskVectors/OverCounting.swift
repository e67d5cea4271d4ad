// How often directions of a merged change are counted: the coefficients of singular value calibration (SVC, arXiv:2602.05536).
//
// With M a merged change of one matrix, such as a sum of task vectors τ_i, and M = U S Vᵀ:
//
//     s_ri = ⟨u_rᵀ M, u_rᵀ τ_i⟩ / ‖u_rᵀ τ_i‖²      1: along u_r expert i gets what it asked for; 2: twice that
//     s_r  = the mean of s_ri over the experts that move along u_r
//
// SVC divides S_r by s_r, in which an expert that hardly moves counts for as much as one that moves far. What is counted twice is about the
// change itself, so experts weigh what they move there:
//
//     e_r  = max(0, 1 − Σ_i ‖u_rᵀ τ_i‖² / Σ_i ⟨u_rᵀ M, u_rᵀ τ_i⟩)      of the sum M = Σ τ_i: what S_r² has beyond the squares of its parts
//
// Over the directions of all matrices, weighted with their energy S_r²:
//
//     coefficient   Σ S_r² s_r / Σ S_r²                      of one expert: Σ S_r² s_ri / Σ S_r²
//     share         Σ S_r² e_r / Σ S_r²
//
// Directions below the numerical rank of M are arbitrary and left out, as are experts along directions in which they move by no more than
// rounding noise, where the quotient is one of two roundings.

import Kernels
import TensorCore

/// How often the directions of a merged change are counted.
public struct OverCounting: Sendable, Hashable {
    /// The mean coefficient over experts and directions; nil when nothing moved.
    public let coefficient: Double?
    /// That of each expert; nil for one that does not move along these directions.
    public let experts: [Double?]
    /// The share of the change's energy that is there only because experts move alike, from 0 to 1; nil when nothing moved.
    public let share: Double?

    /// Puts the sums over all matrices into figures.
    fileprivate init(_ sums: DirectionSums) {
        func mean(_ sum: Double, _ energy: Double) -> Double? { energy == 0 ? nil : sum / energy }
        coefficient = mean(sums.coefficient, sums.energy)
        share = mean(sums.excess, sums.energy)
        experts = sums.experts.map { mean($0.coefficient, $0.energy) }
    }
}

extension TaskVectorSet {
    /// A merged change and the experts that it is held against.
    public struct MergedChange: Sendable, Hashable {
        /// The task vectors whose sum it is; a merged model is in the set as one of them.
        public let sum: [Int]
        public let experts: [Int]

        public init(sum: [Int], experts: [Int]) {
            self.sum = sum
            self.experts = experts
        }
    }

    /// Counts the directions of merged changes, over all matrices of the set.
    ///
    /// - Parameters:
    ///   - memory: bytes of working memory; a matrix that needs more is decomposed alone. Nil sets no bound.
    ///   - progress: told, from any thread, when a matrix is done; see `matrices`.
    /// - Cost: for each matrix and change one decomposition and a product for each expert; the task vectors of a matrix are in memory at once.
    /// - Returns: NaN for changes with a task vector that is not finite somewhere.
    /// - Throws: `AnalysisError` naming the tensor that cannot be decomposed, what the readers throw.
    public func overCounting(
        of changes: [MergedChange], budget: ComputeBudget = ComputeBudget(), memory: Int? = nil,
        progress: @escaping @Sendable (TaskVectorMatrix) -> Void = { _ in }
    ) throws -> [OverCounting] {
        let matrices = matrices
        let gate = MemoryGate(limit: memory ?? Int.max)
        let parts = try parallelMap(count: matrices.count, threads: budget.threads) { number in
            let matrix = matrices[number]
            do {
                let bytes =
                    try SingularTriplets.workingByteCount(rows: matrix.rows, columns: matrix.columns)
                    + 4 * matrix.elements.count * (names.count + 2) + decodedByteCount(matrix.place)
                gate.enter(bytes)
                defer { gate.leave(bytes) }
                let vectors = try taskVectors(of: matrix)
                let sums = try changes.map { try DirectionSums(of: $0, vectors) }
                progress(matrix)
                return sums
            } catch let error as DecompositionError {
                throw AnalysisError(error, tensor: matrix.tensor)
            }
        }
        return changes.indices.map { place in
            var total = DirectionSums(expertCount: changes[place].experts.count)
            for part in parts { total.add(part[place]) }
            return OverCounting(total)
        }
    }

    private func taskVectors(of matrix: TaskVectorMatrix) throws -> [Matrix<Float>] {
        let loaded = try load(matrix.place)
        return try names.indices.map { expert in
            let vector = try Matrix<Float>(rows: matrix.rows, columns: matrix.columns)
            loaded.forEachBlock(of: expert, matrix.elements) { start, count, values in
                (vector.pointer + (start - matrix.elements.lowerBound)).update(from: values, count: count)
            }
            return vector
        }
    }
}

/// What the directions of one or of all matrices add up to.
private struct DirectionSums {
    private(set) var energy = 0.0
    private(set) var coefficient = 0.0
    private(set) var excess = 0.0
    private(set) var experts: [(energy: Double, coefficient: Double)]

    init(expertCount: Int) { experts = Array(repeating: (0, 0), count: expertCount) }

    init(of change: TaskVectorSet.MergedChange, _ vectors: [Matrix<Float>]) throws {
        self.init(expertCount: change.experts.count)
        let sum = try Matrix<Float>(rows: vectors[0].rows, columns: vectors[0].columns)
        for place in change.sum {
            for n in 0..<sum.count { sum.pointer[n] += vectors[place].pointer[n] }
        }
        guard isFinite(sum.pointer, count: sum.count),
            change.experts.allSatisfy({ isFinite(vectors[$0].pointer, count: sum.count) })
        else {
            (energy, coefficient, excess) = (.nan, .nan, .nan)
            experts = Array(repeating: (.nan, .nan), count: experts.count)
            return
        }
        let triplets = try SingularTriplets(sum)
        let shares = try change.experts.map { try DirectionShares(of: vectors[$0], in: triplets) }
        for r in 0..<triplets.ut.rows {
            let weight = triplets.singularValues[r] * triplets.singularValues[r]
            let coefficients = shares.map { $0.coefficients[r] }
            let known = coefficients.compactMap { $0 }
            guard let repeated = repeatedShare(coefficients, shares.map { $0.squares[r] }) else { continue }
            let mean = known.reduce(0, +) / Double(known.count)
            energy += weight
            coefficient += weight * mean
            excess += weight * repeated
            for case let (place, value?) in coefficients.enumerated() {
                experts[place].energy += weight
                experts[place].coefficient += weight * value
            }
        }
    }

    mutating func add(_ other: DirectionSums) {
        energy += other.energy
        coefficient += other.coefficient
        excess += other.excess
        for place in experts.indices {
            experts[place].energy += other.experts[place].energy
            experts[place].coefficient += other.experts[place].coefficient
        }
    }
}
