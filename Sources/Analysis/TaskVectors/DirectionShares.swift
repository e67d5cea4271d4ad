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

extension Double {
    /// Of a direction that is counted so many times, the share that is there more than once: max(0, 1 − 1/s).
    var excess: Double { self < 1 ? 0 : 1 - 1 / self }
}
