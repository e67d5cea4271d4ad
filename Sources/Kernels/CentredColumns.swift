/// Copies a matrix without the means of its columns.
///
/// - Parameter result: of the same shape.
public func centreColumns(of matrix: Matrix<Double>, into result: Matrix<Double>) {
    precondition(matrix.rows == result.rows && matrix.columns == result.columns, "the shapes differ")
    var means = [Double](repeating: 0, count: matrix.columns)
    for row in 0..<matrix.rows {
        let source = matrix.row(row)
        for column in 0..<matrix.columns { means[column] += source[column] }
    }
    for column in means.indices { means[column] /= Double(matrix.rows) }
    for row in 0..<matrix.rows {
        let (source, target) = (matrix.row(row), result.row(row))
        for column in 0..<matrix.columns { target[column] = source[column] - means[column] }
    }
}
