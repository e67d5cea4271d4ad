import COpenBLAS

/// A matrix operand in memory: rows of `stride` numbers, read as it lies or transposed.
public struct MatrixOperand {
    let address: UnsafePointer<Float>
    let stride: Int
    let isTransposed: Bool

    /// The matrix as it is stored, row after row.
    @inline(__always)
    public static func rows(_ address: UnsafePointer<Float>, stride: Int) -> MatrixOperand {
        MatrixOperand(address: address, stride: stride, isTransposed: false)
    }

    /// The transpose of what is stored.
    @inline(__always)
    public static func transposed(_ address: UnsafePointer<Float>, stride: Int) -> MatrixOperand {
        MatrixOperand(address: address, stride: stride, isTransposed: true)
    }
}

/// Multiplies two matrices in single precision on the calling thread: `out = alpha * a * b`, or `out += alpha * a * b`.
///
/// - Shapes: `a` `[M, K]` and `b` `[K, N]` after transposition, `out` `[M, N]` with rows of `outStride` numbers.
/// - Precondition: every size and stride is at most `largestMatrixDimension`; models check theirs when they are made.
///   `ComputeBudget` holds OpenBLAS to one thread.
/// - Parameter accumulate: adds to `out` instead of replacing it.
public func multiply(
    _ M: Int, _ N: Int, _ K: Int, _ a: MatrixOperand, _ b: MatrixOperand, into out: UnsafeMutablePointer<Float>,
    stride outStride: Int, accumulate: Bool = false, alpha: Float = 1
) {
    cblas_sgemm(
        CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans, b.isTransposed ? CblasTrans : CblasNoTrans,
        Int32(M), Int32(N), Int32(K), alpha, a.address, Int32(a.stride), b.address, Int32(b.stride),
        accumulate ? 1 : 0, out, Int32(outStride))
}

/// The largest size or stride that `multiply` takes: OpenBLAS counts in 32 bits.
public let largestMatrixDimension = Int(Int32.max)
