import Checkpoints
import Kernels
import TensorCore

/// Where a tensor of a checkpoint lies in a network's parameter vector.
struct TensorBinding: Sendable {
    /// In the file.
    let name: TensorName
    /// The shape that the architecture gives the tensor in the file.
    let shape: Shape
    /// The values in the parameter vector, row-major.
    let range: Range<Int>
    /// Whether the vector has the matrix the other way round.
    let isTransposed: Bool

    /// Reads the tensor into its place.
    ///
    /// - Precondition: the tensor has `shape`.
    /// - Throws: as `TensorStore.readFinite`.
    func read(from store: TensorStore, into parameters: FloatBuffer) throws {
        let place = UnsafeMutableBufferPointer(rebasing: parameters.values[range])
        guard isTransposed else { return try store.readFinite(name, into: place) }
        let values = try FloatBuffer(count: range.count)
        try store.readFinite(name, into: values.values)
        withExtendedLifetime(values) {
            transpose(UnsafeBufferPointer(values.values), rows: shape.dims[0], into: place)
        }
    }

    /// The bytes of the tensor after its values have changed, in a type of the file.
    ///
    /// - Parameter checkpoint: the one whose tensor it was, for errors.
    /// - Throws: `IOError` when there is no memory, `input.bad_value` when a value is beyond what the type holds.
    func bytes(of parameters: FloatBuffer, as dtype: DType, like checkpoint: TensorStore) throws -> AlignedBuffer {
        let bytes = try AlignedBuffer(byteCount: range.count * (dtype.bitWidth / 8))
        let place = UnsafeBufferPointer(rebasing: parameters.values[range])
        var losses = CastLosses()
        if isTransposed {
            let values = try FloatBuffer(count: range.count)
            transpose(place, rows: shape.dims[1], into: values.values)
            withExtendedLifetime(values) {
                losses = narrow(UnsafeBufferPointer(values.values), into: bytes.mutableBytes, as: dtype)
            }
        } else {
            losses = narrow(place, into: bytes.mutableBytes, as: dtype)
        }
        guard losses.overflowCount == 0 else {
            throw InputError(
                .badValue,
                "\(losses.overflowCount) of the new values of \"\(name)\" are beyond the range of its type in "
                    + "\(checkpoint.path.string), \(dtype)", file: checkpoint.path, tensor: name,
                hint: "lower the learning rate")
        }
        return bytes
    }

    /// Writes a row-major matrix column by column.
    private func transpose(
        _ matrix: UnsafeBufferPointer<Float>, rows: Int, into result: UnsafeMutableBufferPointer<Float>
    ) {
        let columns = matrix.count / rows
        for row in 0..<rows {
            for column in 0..<columns { result[column * rows + row] = matrix[row * columns + column] }
        }
    }
}
