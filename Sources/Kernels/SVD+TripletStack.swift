import TensorCore

/// The leading singular triplets of several matrices of one shape, one after the other.
package struct TripletStack {
    package private(set) var singularValues: [Float] = []
    /// `[count, columns]`, with room for more.
    package let vt: FloatBuffer
    /// Left vectors as rows, `[count, rows]`, so that a matrix that adds few of them leaves no gap.
    package let ut: FloatBuffer
    private let rows: Int
    private let columns: Int

    package var count: Int { singularValues.count }

    package init(rows: Int, columns: Int, capacity: Int) throws(IOError) {
        self.rows = rows
        self.columns = columns
        ut = try FloatBuffer(count: capacity * rows)
        vt = try FloatBuffer(count: capacity * columns)
    }

    /// Appends the first triplets of a decomposition.
    package mutating func append(_ factors: SingularValueDecomposition, count added: Int) {
        let left = ut.pointer + count * rows
        let source = factors.u.pointer
        for k in 0..<added {
            for row in 0..<rows { left[k * rows + row] = source[row * factors.rank + k] }
        }
        (vt.pointer + count * columns).update(from: factors.vt.pointer, count: added * columns)
        singularValues += factors.singularValues.prefix(added)
    }

    /// The left vectors as columns, `[rows, count]`.
    package func leftVectors() throws(IOError) -> FloatBuffer {
        let u = try FloatBuffer(count: rows * count)
        for row in 0..<rows {
            for k in 0..<count { u.pointer[row * count + k] = ut.pointer[k * rows + row] }
        }
        return u
    }
}
