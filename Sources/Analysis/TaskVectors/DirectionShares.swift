import Kernels

/// What each direction of a merged change, M = U S Vᵀ, has of one task vector τ.
struct DirectionShares {
    /// ‖u_rᵀ τ‖² of every direction.
    let squares: [Double]
    /// s_r = ⟨u_rᵀ M, u_rᵀ τ⟩ / ‖u_rᵀ τ‖²; nil along a direction in which τ moves by no more than rounding noise, where the quotient is
    /// one of two roundings.
    let coefficients: [Double?]

    /// Projects a task vector.
    ///
    /// - Parameter triplets: of the merged change; directions below its numerical rank are arbitrary and left out.
    /// - Throws: `IOError` when there is no memory.
    init(of vector: Matrix<Float>, in triplets: SingularTriplets) throws {
        let (rank, columns) = (triplets.ut.rows, vector.columns)
        let projected = try Matrix<Float>(rows: rank, columns: columns)
        if rank > 0 {
            multiply(
                rank, columns, vector.rows, .rows(triplets.ut.pointer, stride: vector.rows), vector.view,
                into: projected.pointer, stride: columns)
        }
        let norm = sumOfSquares(vector.pointer, count: vector.count).squareRoot()
        let noise = Double(max(vector.rows, columns)) * Double(Float.ulpOfOne) * norm
        let squares = (0..<rank).map { sumOfSquares(projected.pointer + $0 * columns, count: columns) }
        coefficients = (0..<rank).map { direction in
            guard squares[direction].squareRoot() > noise else { return nil }
            let product = dotProduct(
                projected.pointer + direction * columns, triplets.vt.pointer + direction * columns, count: columns)
            return triplets.singularValues[direction] * product / squares[direction]
        }
        self.squares = squares
    }
}

/// Of a direction of a merged change, the share of its energy that is there only because experts move alike: max(0, 1 − 1/s), s the mean of
/// the coefficients weighted with ‖u_rᵀ τ_i‖², so that an expert counts for as much as it moves.
///
///     s = Σ_i ⟨u_rᵀ M, u_rᵀ τ_i⟩ / Σ_i ‖u_rᵀ τ_i‖²      and of a sum M = Σ τ_i:    S_r² / Σ_i ‖u_rᵀ τ_i‖²
///
/// - Returns: nil when no expert moves along the direction.
func repeatedShare(_ coefficients: [Double?], _ squares: [Double]) -> Double? {
    weightedMean(coefficients, squares).map { $0 < 1 ? 0 : 1 - 1 / $0 }
}

/// The mean of the values that there are; nil when their weights are 0.
func weightedMean(_ values: [Double?], _ weights: [Double]) -> Double? {
    var (sum, total) = (0.0, 0.0)
    for case let (value?, weight) in zip(values, weights) {
        sum += weight * value
        total += weight
    }
    return total > 0 ? sum / total : nil
}
