import COpenBLAS
import TensorCore

/// A row-major matrix in F64, for the short stretches of linear algebra whose accuracy F32 does not give.
public final class DoubleMatrix: @unchecked Sendable {
    public let rows: Int
    public let columns: Int
    private let storage: AlignedBuffer

    /// A matrix of zeros.
    ///
    /// - Throws: `DecompositionError.tooLarge` when OpenBLAS cannot count the sizes, `IOError` when there is no memory.
    public init(rows: Int, columns: Int) throws {
        let (count, overflow) = rows.multipliedReportingOverflow(by: columns)
        guard !overflow, count <= Int.max / 8, max(rows, columns) <= largestMatrixDimension else {
            throw DecompositionError.tooLarge
        }
        self.rows = rows
        self.columns = columns
        storage = try AlignedBuffer(byteCount: 8 * count)
    }

    /// The first element. Safety: valid for `rows * columns` elements while the matrix lives.
    public var pointer: UnsafeMutablePointer<Double> { storage.address.assumingMemoryBound(to: Double.self) }

    func row(_ row: Int) -> UnsafeMutablePointer<Double> { pointer + row * columns }
}

/// An operand in F64: rows of `stride` numbers, read as they lie or transposed.
struct DoubleOperand {
    let address: UnsafePointer<Double>
    let stride: Int
    var isTransposed = false
}

/// `out = a b`, or `out += a b`; see the single-precision form.
///
/// - Shapes: `a` `[M, K]` and `b` `[K, N]` after transposition, `out` `[M, N]` with rows of `outStride` numbers.
func multiply(
    _ M: Int, _ N: Int, _ K: Int, _ a: DoubleOperand, _ b: DoubleOperand, into out: UnsafeMutablePointer<Double>,
    stride outStride: Int
) {
    guard M > 0, N > 0 else { return }
    cblas_dgemm(
        CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans, b.isTransposed ? CblasTrans : CblasNoTrans,
        Int32(M), Int32(N), Int32(K), 1, a.address, Int32(a.stride), b.address, Int32(b.stride), 0, out,
        Int32(outStride))
}

/// The upper half of `out += Aᵀ A`, or of `out += A Aᵀ` when `A` is given as rows.
///
/// - Shapes: `a` `[K, N]`, or `[N, K]` for `byRows`, `out` `[N, N]`.
func addGram(
    _ N: Int, _ K: Int, _ a: UnsafePointer<Double>, stride: Int, byRows: Bool, to out: UnsafeMutablePointer<Double>
) {
    cblas_dsyrk(
        CblasRowMajor, CblasUpper, byRows ? CblasNoTrans : CblasTrans, Int32(N), Int32(K), 1, a, Int32(stride), 1,
        out, Int32(N))
}
