import COpenBLAS

// Products of matrices; `LAPACK` has the decompositions. Nothing else calls OpenBLAS, which keeps to the thread that calls it.

/// The largest size or stride that OpenBLAS takes: it counts in 32 bits.
public let largestMatrixDimension = Int(Int32.max)

/// Holds OpenBLAS to the calling thread, for the whole process.
func holdOpenBLASToOneThread() { openblas_set_num_threads(1) }

/// Multiplies two matrices in single precision: `out = alpha * a * b`, plus a bias, plus `out` as it was.
///
/// Large products are cut in parts that the team shares. How they are cut follows from the sizes, so results do not depend on the
/// number of threads.
///
/// - Shapes: `a` `[M, K]` and `b` `[K, N]` after transposition, `bias` `[N]`, `out` `[M, N]` with rows of `outStride` numbers.
/// - Precondition: every size and stride is at most `largestMatrixDimension`; models check theirs when they are made.
/// - Parameters:
///   - accumulate: adds to `out` instead of replacing it.
///   - bias: added to every row.
public func multiply(
    _ M: Int, _ N: Int, _ K: Int, _ a: MatrixView<Float>, _ b: MatrixView<Float>,
    into out: UnsafeMutablePointer<Float>, stride outStride: Int, accumulate: Bool = false, alpha: Float = 1,
    bias: UnsafePointer<Float>? = nil
) {
    let cut = ProductCut(M: M, N: N, K: K)
    share(cut.count) { number in
        let (rows, columns) = cut.part(number)
        let target = out + rows.lowerBound * outStride + columns.lowerBound
        if let bias = bias.map({ $0 + columns.lowerBound }) {
            for r in 0..<rows.count {
                let row = target + r * outStride
                if accumulate {
                    for c in 0..<columns.count { row[c] += bias[c] }
                } else {
                    row.update(from: bias, count: columns.count)
                }
            }
        }
        multiplyAlone(
            rows.count, columns.count, K, a.rows(from: rows.lowerBound), b.columns(from: columns.lowerBound),
            into: target, stride: outStride, accumulate: accumulate || bias != nil, alpha: alpha)
    }
}

/// Multiplies two matrices in single precision on the calling thread, in one piece; otherwise as `multiply`.
package func multiplyAlone(
    _ M: Int, _ N: Int, _ K: Int, _ a: MatrixView<Float>, _ b: MatrixView<Float>,
    into out: UnsafeMutablePointer<Float>, stride outStride: Int, accumulate: Bool = false, alpha: Float = 1
) {
    cblas_sgemm(
        CblasRowMajor, a.order, b.order, Int32(M), Int32(N), Int32(K), alpha, a.address, Int32(a.stride), b.address,
        Int32(b.stride), accumulate ? 1 : 0, out, Int32(outStride))
}

/// Multiplies two matrices in double precision; see the single-precision form. Without rows or columns nothing happens.
package func multiply(
    _ M: Int, _ N: Int, _ K: Int, _ a: MatrixView<Double>, _ b: MatrixView<Double>,
    into out: UnsafeMutablePointer<Double>, stride outStride: Int, accumulate: Bool = false, alpha: Double = 1
) {
    guard M > 0, N > 0 else { return }
    cblas_dgemm(
        CblasRowMajor, a.order, b.order, Int32(M), Int32(N), Int32(K), alpha, a.address, Int32(a.stride), b.address,
        Int32(b.stride), accumulate ? 1 : 0, out, Int32(outStride))
}

/// The upper half of `out += weight * Aᵀ A`, or of `out += weight * A Aᵀ` when `A` is given as rows.
///
/// - Shapes: `a` `[K, N]`, or `[N, K]` for `byRows`, `out` `[N, N]`.
package func addGram(
    _ N: Int, _ K: Int, _ a: UnsafePointer<Double>, stride: Int, byRows: Bool, to out: UnsafeMutablePointer<Double>,
    weight: Double = 1
) {
    cblas_dsyrk(
        CblasRowMajor, CblasUpper, byRows ? CblasNoTrans : CblasTrans, Int32(N), Int32(K), weight, a, Int32(stride),
        1, out, Int32(N))
}

extension MatrixView {
    fileprivate var order: CBLAS_TRANSPOSE { isTransposed ? CblasTrans : CblasNoTrans }
}

/// The version of OpenBLAS, as it is at run time, and the processor that it takes the machine's for.
package var openBLASVersion: String {
    // `OpenBLAS 0.3.29 NO_LAPACKE DYNAMIC_ARCH NO_AFFINITY Haswell MAX_THREADS=64`
    let words = String(cString: openblas_get_config()).split(separator: " ")
    guard words.count > 1 else { return "" }
    return "\(words[1]) (\(String(cString: openblas_get_corename())))"
}
