/// The leading singular triplets of several matrices of one shape, one after the other.
package struct TripletStack {
    package private(set) var singularValues: [Float] = []
    /// `[count, columns]`, with room for more.
    package let vt: Matrix<Float>
    /// Left vectors as rows, `[count, rows]`, so that a matrix that adds few of them leaves no gap.
    package let ut: Matrix<Float>

    package var count: Int { singularValues.count }

    package init(rows: Int, columns: Int, capacity: Int) throws {
        ut = try Matrix(rows: capacity, columns: rows)
        vt = try Matrix(rows: capacity, columns: columns)
    }

    /// Appends the first triplets of a decomposition.
    package mutating func append(_ factors: SingularValueDecomposition<Float>, count added: Int) {
        let source = factors.u.pointer
        for k in 0..<added {
            let left = ut.row(count + k)
            for row in 0..<ut.columns { left[row] = source[row * factors.rank + k] }
        }
        vt.row(count).update(from: factors.vt.pointer, count: added * vt.columns)
        singularValues += factors.singularValues.prefix(added)
    }

    /// The left vectors as columns, `[rows, count]`.
    package func leftVectors() throws -> Matrix<Float> {
        let u = try Matrix<Float>(rows: ut.columns, columns: count)
        for row in 0..<u.rows {
            for k in 0..<count { u.pointer[row * count + k] = ut.pointer[k * ut.columns + row] }
        }
        return u
    }
}
