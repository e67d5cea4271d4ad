import TensorCore

/// A row-major matrix in memory of its own.
public final class Matrix<Scalar: BitwiseCopyable & Sendable>: @unchecked Sendable {
    public let rows: Int
    public let columns: Int
    @usableFromInline let storage: AlignedBuffer

    /// A matrix of zeros.
    ///
    /// - Throws: `DecompositionError` `tooLarge` when OpenBLAS cannot count the sizes, `IOError` when there is no memory.
    public init(rows: Int, columns: Int) throws {
        let stride = MemoryLayout<Scalar>.stride
        let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
        guard !overflow, count <= Int.max / stride, max(rows, columns) <= largestMatrixDimension else {
            throw DecompositionError.tooLarge
        }
        self.rows = rows
        self.columns = columns
        storage = try AlignedBuffer(byteCount: stride * count)
    }

    public var count: Int { rows * columns }

    /// The first element. Safety: valid for `count` elements while the matrix lives.
    @inlinable public var pointer: UnsafeMutablePointer<Scalar> {
        storage.address.assumingMemoryBound(to: Scalar.self)
    }

    /// All elements. Safety: valid while the matrix lives.
    public var values: UnsafeMutableBufferPointer<Scalar> { UnsafeMutableBufferPointer(start: pointer, count: count) }

    func row(_ row: Int) -> UnsafeMutablePointer<Scalar> { pointer + row * columns }

    /// The matrix, and its transpose, as operands. Safety: valid while the matrix lives.
    package var view: MatrixView<Scalar> { .rows(pointer, stride: columns) }
    package var transposed: MatrixView<Scalar> { .transposed(pointer, stride: columns) }
}

/// A matrix in memory that belongs to others: rows of `stride` numbers, read as they lie or transposed.
public struct MatrixView<Scalar> {
    @usableFromInline let address: UnsafePointer<Scalar>
    @usableFromInline let stride: Int
    @usableFromInline let isTransposed: Bool

    @inlinable init(address: UnsafePointer<Scalar>, stride: Int, isTransposed: Bool) {
        self.address = address
        self.stride = stride
        self.isTransposed = isTransposed
    }

    /// The matrix as it is stored, row after row.
    @inlinable
    public static func rows(_ address: UnsafePointer<Scalar>, stride: Int) -> MatrixView {
        MatrixView(address: address, stride: stride, isTransposed: false)
    }

    /// The transpose of what is stored.
    @inlinable
    public static func transposed(_ address: UnsafePointer<Scalar>, stride: Int) -> MatrixView {
        MatrixView(address: address, stride: stride, isTransposed: true)
    }
}
