import TensorCore

/// A matrix that task vectors are decomposed of: a tensor of two dimensions, or one of a stack `[E, m, n]` of experts' weights.
public struct TaskVectorMatrix: Sendable, Hashable {
    public let tensor: TensorDescriptor
    /// Its place in the stack.
    public let slice: Int?
    /// The place of the tensor in its set.
    let place: Int

    /// The tensor's name, with the place in the stack in brackets.
    public var name: String { tensor.name.description + (slice.map { "[\($0)]" } ?? "") }
    public var rows: Int { tensor.shape.dims[tensor.shape.rank - 2] }
    public var columns: Int { tensor.shape.dims[tensor.shape.rank - 1] }
    var elements: Range<Int> {
        let first = (slice ?? 0) * rows * columns
        return first..<first + rows * columns
    }
}

extension TaskVectorSet {
    /// The matrices that `spectra` decomposes, in the order of the tensors.
    public var matrices: [TaskVectorMatrix] {
        tensors.enumerated().flatMap { place, tensor -> [TaskVectorMatrix] in
            guard let matrices = tensor.matrices else { return [] }
            return (0..<matrices.count).map {
                TaskVectorMatrix(tensor: tensor, slice: tensor.isStackOfExperts ? $0 : nil, place: place)
            }
        }
    }
}
