import COpenBLAS
import TensorCore

/// The thin singular value decomposition `A = U diag(S) Vᵀ` of a matrix in F64, for methods that compare entries of the factors.
///
/// - Shapes: `u` `[rows, rank]`, `singularValues` `[rank]` in descending order, `vt` `[rank, columns]`, all row-major, with
///   rank = min(rows, columns).
public struct DoubleDecomposition: Sendable {
    public let rows: Int
    public let columns: Int
    public let singularValues: [Double]
    private let left: AlignedBuffer
    private let right: AlignedBuffer

    public var rank: Int { singularValues.count }
    /// Safety: valid while the decomposition lives.
    public var u: UnsafePointer<Double> { UnsafePointer(left.address.assumingMemoryBound(to: Double.self)) }
    public var vt: UnsafePointer<Double> { UnsafePointer(right.address.assumingMemoryBound(to: Double.self)) }

    /// Decomposes a row-major matrix, whose memory is used as workspace and lost.
    ///
    /// - Throws: `DecompositionError`, `IOError` when there is no memory.
    /// - Source: LAPACK `dgesdd`, divide and conquer.
    public init(destroying a: UnsafeMutablePointer<Double>, rows: Int, columns: Int) throws {
        self.rows = rows
        self.columns = columns
        let rank = min(rows, columns)
        left = try AlignedBuffer(byteCount: 8 * rows * rank)
        right = try AlignedBuffer(byteCount: 8 * rank * columns)
        var values = [Double](repeating: 0, count: rank)
        guard rank > 0 else {
            singularValues = []
            return
        }
        guard countNonFinite(a, count: rows * columns) == (0, 0) else { throw DecompositionError.notFinite }
        let workCount = try Self.workCount(rows: rows, columns: columns)
        let work = try AlignedBuffer(byteCount: 8 * workCount)
        // LAPACK sees the transpose, so the sides change places, as in `SingularValueDecomposition`.
        guard var m = Int32(exactly: columns), var n = Int32(exactly: rows), var k = Int32(exactly: rank),
            var count = Int32(exactly: workCount)
        else { throw DecompositionError.tooLarge }
        var job = CChar(0x53)  // "S"
        var integers = [Int32](repeating: 0, count: 8 * rank)
        var info: Int32 = 0
        var leading = m
        dgesdd_(
            &job, &m, &n, a, &leading, &values, right.address.assumingMemoryBound(to: Double.self), &m,
            left.address.assumingMemoryBound(to: Double.self), &k, work.address.assumingMemoryBound(to: Double.self),
            &count, &integers, &info, 1)
        guard info == 0 else { throw DecompositionError.notConverged(Int(info)) }
        singularValues = values
    }

    /// The bytes that `init` needs beside the matrix itself: both factors and LAPACK's workspace.
    ///
    /// - Throws: `DecompositionError` `tooLarge`.
    public static func workingByteCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
        let rank = min(rows, columns)
        return 8 * (rank * (rows + columns + 5) + (try workCount(rows: rows, columns: columns)))
    }

    private static func workCount(rows: Int, columns: Int) throws(DecompositionError) -> Int {
        guard rows > 0, columns > 0 else { return 0 }
        guard var m = Int32(exactly: columns), var n = Int32(exactly: rows) else { throw .tooLarge }
        var k = min(m, n)
        var job = CChar(0x53)
        var leading = m
        var answer = 0.0
        var query: Int32 = -1
        var integer: Int32 = 0
        var info: Int32 = 0
        dgesdd_(&job, &m, &n, nil, &leading, nil, nil, &m, nil, &k, &answer, &query, &integer, &info, 1)
        guard info == 0, answer < Double(Int32.max) else { throw .tooLarge }
        return Int(answer.rounded(.up))
    }
}
