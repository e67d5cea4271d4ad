import Kernels
import TensorCore

/// A row-major matrix in memory of its own.
struct FloatMatrix: Sendable {
    let rows: Int
    let columns: Int
    let elements: FloatBuffer

    init(rows: Int, columns: Int) throws(IOError) {
        self.rows = rows
        self.columns = columns
        elements = try FloatBuffer(count: rows * columns)
    }
}

/// One matrix in every model.
struct MatrixInputs {
    let rows: Int
    let columns: Int
    let base: MergeSource
    let experts: [MergeSource]

    /// The task vector of an expert, θ_i − θ₀.
    func readTaskVector(of expert: Int, into result: FloatMatrix) {
        result.elements.values.update(repeating: 0)
        addTaskVector(of: expert, to: result)
    }

    /// Adds the task vector of an expert to a matrix.
    func addTaskVector(of expert: Int, to result: FloatMatrix) {
        if base.dtype == .f64 || experts[expert].dtype == .f64 {
            addTaskVector(of: expert, to: result, in: Double.self)
        } else {
            addTaskVector(of: expert, to: result, in: Float.self)
        }
    }

    /// - Parameter scalar: what the difference is taken in, before it is rounded to F32.
    private func addTaskVector<T: ElementwiseScalar>(of expert: Int, to result: FloatMatrix, in scalar: T.Type) {
        withUnsafeTemporaryAllocation(of: T.self, capacity: 2 * mergeBlockCapacity) { memory in
            let values = memory.baseAddress!
            let baseValues = values + mergeBlockCapacity
            var offset = 0
            while offset < rows * columns {
                let count = min(mergeBlockCapacity, rows * columns - offset)
                experts[expert].read(from: offset, count: count, into: values)
                base.read(from: offset, count: count, into: baseValues)
                subtract(baseValues, from: values, count: count)
                let target = result.elements.pointer + offset
                for i in 0..<count { target[i] += Float(values[i]) }
                offset += count
            }
        }
    }
}
