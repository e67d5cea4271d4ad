import Kernels
import TensorCore

/// One matrix in every model.
package struct MatrixInputs {
    /// Its place in a stack.
    let number: Int
    let rows: Int
    let columns: Int
    let base: MergeSource
    let experts: [MergeSource]
    /// The sides of the matrices that these are the cores of; nil where they are matrices themselves.
    var coreSides: (rows: Int, columns: Int)?

    /// The sides of the whole matrices.
    var wholeRows: Int { coreSides?.rows ?? rows }
    var wholeColumns: Int { coreSides?.columns ?? columns }

    /// Where the matrix lies in its tensor.
    var elements: Range<Int> { number * rows * columns..<(number + 1) * rows * columns }

    /// The task vector of an expert, θ_i − θ₀.
    func readTaskVector(of expert: Int, into result: Matrix<Float>) { readSum(of: expert..<expert + 1, into: result) }

    /// The sum of all task vectors.
    func readTaskVectorSum(into result: Matrix<Float>) { readSum(of: experts.indices, into: result) }

    private func readSum(of range: Range<Int>, into result: Matrix<Float>) {
        if base.dtype == .f64 || experts[range].contains(where: { $0.dtype == .f64 }) {
            readSum(of: range, into: result, in: Double.self)
        } else {
            readSum(of: range, into: result, in: Float.self)
        }
    }

    /// Reads the sum of the task vectors in a range.
    ///
    /// - Parameter scalar: what differences are taken in, before they are rounded to F32.
    private func readSum<T: ElementwiseScalar>(of range: Range<Int>, into result: Matrix<Float>, in scalar: T.Type) {
        withUnsafeTemporaryAllocation(of: T.self, capacity: 2 * mergeBlockCapacity) { memory in
            let first = elements.lowerBound
            let values = memory.baseAddress!
            let baseValues = values + mergeBlockCapacity
            for start in stride(from: 0, to: rows * columns, by: mergeBlockCapacity) {
                let count = min(mergeBlockCapacity, rows * columns - start)
                let target = result.pointer + start
                target.update(repeating: 0, count: count)
                base.read(from: first + start, count: count, into: baseValues)
                for expert in experts[range] {
                    expert.read(from: first + start, count: count, into: values)
                    subtract(baseValues, from: values, count: count)
                    for i in 0..<count { target[i] += Float(values[i]) }
                }
            }
        }
    }
}
