import Kernels
import TensorCore

/// A change of a weight that is stored as a product of two factors: `s B A`, for each matrix of a stack.
///
/// - Shapes: `A` `[matrices · rank, inputs]`, `B` `[outputs, rank · matrices]` with the matrices innermost, as PEFT has them;
///   magnitudes `[outputs]`. Kernels of convolutions are matrices of `outputs` rows.
struct LowRankUpdate: Sendable {
    let reader: any CheckpointReader
    /// The places of the factors in the reader; without `a` it is a row of one number, 1.
    let a: Int?
    let b: Int
    let matrices: Int
    let rank: Int
    let inputs: Int
    let outputs: Int
    let scale: Double
    /// Whether the weight is stored as `[inputs, outputs]`.
    let isTransposed: Bool
    /// The place of the lengths that the outputs' weights have afterwards (DoRA); nil leaves them.
    let magnitude: Int?

    var needsDouble: Bool { reader.descriptors[b].dtype == .f64 }

    /// Decodes the factors of some of the matrices.
    ///
    /// - Throws: what the reader throws; `IOError` when there is no memory.
    func factors<T: ElementwiseScalar>(of range: Range<Int>, in scalar: T.Type) throws -> LowRankFactors<T> {
        let a: ElementBuffer<T>
        if let place = self.a {
            let start = range.lowerBound * rank * inputs
            a = try ElementBuffer(
                reader, place, elements: start..<start + range.count * rank * inputs)
        } else {
            a = try ElementBuffer(repeating: 1, count: 1)
        }
        return try LowRankFactors(self, a: a, b: ElementBuffer(reader, b), firstMatrix: range.lowerBound)
    }
}

/// The decoded factors of a change, as the rows of the stored weight need them.
struct LowRankFactors<T: ElementwiseScalar> {
    private let update: LowRankUpdate
    private let a, b: ElementBuffer<T>
    private let firstMatrix: Int
    /// Where the weight is stored as `[inputs, outputs]`: the factor B of the current matrix with its outputs side by side.
    private let turned: ElementBuffer<T>?
    let scale: T

    init(_ update: LowRankUpdate, a: ElementBuffer<T>, b: ElementBuffer<T>, firstMatrix: Int) throws {
        self.update = update
        self.a = a
        self.b = b
        self.firstMatrix = firstMatrix
        turned =
            update.isTransposed ? try ElementBuffer(repeating: 0, count: update.rank * update.outputs) : nil
        scale = T(update.scale)
    }

    /// Prepares for the rows of a matrix.
    func begin(matrix: Int) {
        guard let turned else { return }
        let (rank, matrices) = (update.rank, update.matrices)
        for k in 0..<rank {
            let row = turned.start + k * update.outputs
            let column = b.start + k * matrices + matrix
            for output in 0..<update.outputs { row[output] = column[output * rank * matrices] }
        }
    }

    /// Adds the change to a run of a stored row.
    func add(matrix: Int, row: Int, columns: Range<Int>, to x: UnsafeMutablePointer<T>) {
        let (rank, matrices) = (update.rank, update.matrices)
        let inner = a.start + (matrix - firstMatrix) * rank * update.inputs
        if let turned {
            T.addLowRank(
                inner + row, stride: update.inputs, turned.start + columns.lowerBound, stride: update.outputs,
                rank: rank, scale: scale, to: x, count: columns.count)
        } else {
            T.addLowRank(
                b.start + row * rank * matrices + matrix, stride: matrices, inner + columns.lowerBound,
                stride: update.inputs, rank: rank, scale: scale, to: x, count: columns.count)
        }
    }
}

/// Decoded elements of a tensor.
struct ElementBuffer<T: ElementwiseScalar> {
    private let memory: AlignedBuffer
    let count: Int

    // Safety: valid for `count` elements while the buffer lives, which its users hold on to.
    var start: UnsafeMutablePointer<T> { memory.address.assumingMemoryBound(to: T.self) }
    var values: UnsafeMutableBufferPointer<T> { UnsafeMutableBufferPointer(start: start, count: count) }

    init(repeating value: T, count: Int) throws(IOError) {
        memory = try AlignedBuffer(byteCount: count * MemoryLayout<T>.stride, isZeroed: false)
        self.count = count
        values.initialize(repeating: value)
    }

    /// Reads elements of a tensor; all of them without a range.
    init(_ reader: any CheckpointReader, _ place: Int, elements: Range<Int>? = nil) throws {
        let tensor = reader.descriptors[place]
        let elements = elements ?? 0..<tensor.elementCount
        memory = try AlignedBuffer(byteCount: elements.count * MemoryLayout<T>.stride, isZeroed: false)
        count = elements.count
        try reader.withStoredBytes(tensor.layout.byteRange(of: elements), of: place) {
            T.read($0, tensor.dtype, into: values)
        }
    }
}
