/// Walks over a matrix of F32 in F64, a few vectors of the shorter side's length at a time: rows of a tall matrix, columns of
/// a wide one.
struct MatrixPanels {
    let rows: Int
    let columns: Int
    /// `[panelCount, order]`
    private let panel: Matrix<Double>

    /// Vectors in a panel.
    static let panelCount = 256

    /// The elements of the panel.
    static func elementCount(rows: Int, columns: Int) -> Int { panelCount * min(rows, columns) }

    init(rows: Int, columns: Int) throws {
        self.rows = rows
        self.columns = columns
        panel = try Matrix<Double>(rows: Self.panelCount, columns: min(rows, columns))
    }

    /// The length of the vectors, and how many there are.
    var order: Int { min(rows, columns) }
    var longer: Int { max(rows, columns) }

    /// Calls `body` with the number of the first vector, how many there are, and their values `[count, order]`.
    func forEach(of matrix: Matrix<Float>, _ body: (Int, Int, UnsafeMutablePointer<Double>) -> Void) {
        for start in stride(from: 0, to: longer, by: Self.panelCount) {
            let count = min(Self.panelCount, longer - start)
            body(start, count, load(matrix, from: start, count: count))
        }
    }

    /// Fills the panel with a run of vectors.
    ///
    /// - Returns: their values `[count, order]`.
    func load(_ matrix: Matrix<Float>, from start: Int, count: Int) -> UnsafeMutablePointer<Double> {
        let (source, target) = (matrix.pointer, panel.pointer)
        if rows >= columns {
            for i in 0..<count * order { target[i] = Double(source[start * columns + i]) }
        } else {
            for i in 0..<count {
                for row in 0..<rows { target[i * order + row] = Double(source[row * columns + start + i]) }
            }
        }
        return target
    }

    /// Multiplies every vector by a symmetric matrix `[order, order]` and rounds it into its place: `M B` of a tall matrix, `B M` of a
    /// wide one.
    ///
    /// - Throws: `IOError` when there is no memory.
    func multiply(_ matrix: Matrix<Float>, by factor: Matrix<Double>) throws {
        let product = try Matrix<Double>(rows: Self.panelCount, columns: order)
        forEach(of: matrix) { start, count, values in
            Kernels.multiply(
                count, order, order, .rows(values, stride: order), factor.view, into: product.pointer, stride: order)
            store(product.pointer, start: start, count: count, in: matrix)
        }
    }

    /// Rounds vectors, given as `forEach` gives them, into their places in a matrix.
    func store(_ values: UnsafePointer<Double>, start: Int, count: Int, in matrix: Matrix<Float>) {
        let target = matrix.pointer
        if rows >= columns {
            for i in 0..<count * order { target[start * columns + i] = Float(values[i]) }
        } else {
            for row in 0..<rows {
                for i in 0..<count { target[row * columns + start + i] = Float(values[i * order + row]) }
            }
        }
    }

    /// The upper half of the sum of the vectors' outer products.
    func gram(of matrix: Matrix<Float>, into gram: Matrix<Double>) {
        gram.pointer.update(repeating: 0, count: order * order)
        forEach(of: matrix) { _, count, values in
            addGram(order, count, values, stride: order, byRows: false, to: gram.pointer)
        }
    }
}
