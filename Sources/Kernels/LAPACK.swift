import COpenBLAS
import TensorCore

/// Why a matrix has no decomposition here.
public enum DecompositionError: Error, Hashable {
    /// A dimension or the workspace exceeds LAPACK's 32-bit integers.
    case tooLarge
    /// The matrix holds NaN or infinity, on which LAPACK does not return.
    case notFinite
    /// LAPACK's iteration did not converge; the number is its `info`.
    case notConverged(Int)
}

/// The precisions in which LAPACK decomposes.
public protocol DecomposableScalar: ElementwiseScalar, BitwiseCopyable {
    /// `sgesdd` or `dgesdd` for thin factors of a column-major `m` x `n` matrix.
    ///
    /// - Returns: `info`.
    static func gesdd(
        _ m: Int32, _ n: Int32, _ a: UnsafeMutablePointer<Self>?, _ s: UnsafeMutablePointer<Self>?,
        _ u: UnsafeMutablePointer<Self>?, _ vt: UnsafeMutablePointer<Self>?, _ work: UnsafeMutablePointer<Self>,
        _ workCount: Int32, _ integers: UnsafeMutablePointer<Int32>
    ) -> Int32
}

extension Float: DecomposableScalar {
    public static func gesdd(
        _ m: Int32, _ n: Int32, _ a: UnsafeMutablePointer<Float>?, _ s: UnsafeMutablePointer<Float>?,
        _ u: UnsafeMutablePointer<Float>?, _ vt: UnsafeMutablePointer<Float>?, _ work: UnsafeMutablePointer<Float>,
        _ workCount: Int32, _ integers: UnsafeMutablePointer<Int32>
    ) -> Int32 {
        var info: Int32 = 0
        sgesdd_("S", [m], [n], a, [m], s, u, [m], vt, [min(m, n)], work, [workCount], integers, &info, 1)
        return info
    }
}

extension Double: DecomposableScalar {
    public static func gesdd(
        _ m: Int32, _ n: Int32, _ a: UnsafeMutablePointer<Double>?, _ s: UnsafeMutablePointer<Double>?,
        _ u: UnsafeMutablePointer<Double>?, _ vt: UnsafeMutablePointer<Double>?, _ work: UnsafeMutablePointer<Double>,
        _ workCount: Int32, _ integers: UnsafeMutablePointer<Int32>
    ) -> Int32 {
        var info: Int32 = 0
        dgesdd_("S", [m], [n], a, [m], s, u, [m], vt, [min(m, n)], work, [workCount], integers, &info, 1)
        return info
    }
}

/// What is used of LAPACK, for row-major matrices: the sizes, the workspace and the outcome are checked here.
enum LAPACK {
    /// Fills the factors of `A = U diag(S) Vᵀ` and returns `S`, in descending order.
    ///
    /// LAPACK sees a row-major matrix as its transpose `Aᵀ = V S Uᵀ`, so the dimensions change places, and what it stores
    /// column-major as left and right vectors are, read row-major, `Vᵀ` and `U`.
    ///
    /// - Parameter a: `[u.rows, vt.columns]`, lost.
    static func decompose<Scalar: DecomposableScalar>(
        _ a: UnsafeMutablePointer<Scalar>, u: Matrix<Scalar>, vt: Matrix<Scalar>
    ) throws -> [Scalar] {
        let (rows, columns, rank) = (u.rows, vt.columns, u.columns)
        guard rank > 0 else { return [] }
        guard countNonFinite(a, count: rows * columns) == (0, 0) else { throw DecompositionError.notFinite }
        let work = try Matrix<Scalar>(
            rows: 1, columns: try decompositionWorkCount(rows: rows, columns: columns, in: Scalar.self))
        var values = [Scalar](repeating: 0, count: rank)
        var integers = [Int32](repeating: 0, count: 8 * rank)
        try check(
            Scalar.gesdd(
                try size(columns), try size(rows), a, &values, vt.pointer, u.pointer, work.pointer,
                try size(work.columns), &integers))
        return values
    }

    /// The numbers of workspace that `decompose` takes.
    static func decompositionWorkCount<Scalar: DecomposableScalar>(
        rows: Int, columns: Int, in scalar: Scalar.Type
    ) throws(DecompositionError) -> Int {
        guard rows > 0, columns > 0 else { return 0 }
        var (answer, integer): (Scalar, Int32) = (0, 0)
        let info = Scalar.gesdd(try size(columns), try size(rows), nil, nil, nil, nil, &answer, -1, &integer)
        // In F32 large numbers are rounded down.
        let count = Double(answer) * (1 + (Scalar.significandBitCount < 31 ? Double(Scalar.ulpOfOne) : 0))
        guard info == 0, count < Double(Int32.max) else { throw .tooLarge }
        return Int(count.rounded(.up))
    }

    /// The eigenvalues of a symmetric matrix of which the upper half is given, ascending, and the vectors of the largest.
    ///
    /// The steps of `dsyevd`, the last one for the vectors that are kept alone.
    ///
    /// - Parameters:
    ///   - matrix: `[order, order]`, lost.
    ///   - space: for all vectors of the tridiagonal matrix, at least `[order, order]`.
    ///   - work: at least `eigenWorkCount` numbers.
    ///   - kept: gets the vectors as rows, `[count, order]`.
    static func eigen(
        destroying matrix: UnsafeMutablePointer<Double>, order: Int, space: Matrix<Double>, work: Matrix<Double>,
        keeping kept: Matrix<Double>
    ) throws(DecompositionError) -> [Double] {
        let n = try size(order)
        let workCount = Int32(try eigenWorkCount(order: order))
        var info: Int32 = 0
        var diagonal = [Double](repeating: 0, count: order)
        var off = diagonal
        var tau = diagonal
        // Row-major, the upper half is LAPACK's lower one, and eigenvectors in columns are rows.
        dsytrd_("L", [n], matrix, [n], &diagonal, &off, &tau, work.pointer, [workCount], &info, 1)
        try check(info)
        var integers = [Int32](repeating: 0, count: 3 + 5 * order)
        dstedc_(
            "I", [n], &diagonal, &off, space.pointer, [n], work.pointer, [workCount], &integers, [3 + 5 * n], &info, 1)
        try check(info)
        guard kept.rows > 0 else { return diagonal }
        kept.pointer.update(from: space.pointer + (order - kept.rows) * order, count: kept.count)
        dormtr_(
            "L", "L", "N", [n], [Int32(kept.rows)], matrix, [n], tau, kept.pointer, [n], work.pointer, [workCount],
            &info, 1, 1, 1)
        try check(info)
        return diagonal
    }

    /// The numbers of workspace that `eigen` takes: what `dstedc` wants; the others do with blocks of 64 columns.
    static func eigenWorkCount(order: Int) throws(DecompositionError) -> Int {
        let (square, overflow) = order.multipliedReportingOverflow(by: order)
        guard !overflow, order < Int(Int32.max) / 8, Int32(exactly: square + 64 * order + 4096) != nil else {
            throw .tooLarge
        }
        return square + 64 * order + 4096
    }

    /// Solves `M A = B` by Cholesky for a positive definite `A` of which the upper half is used, and lost.
    ///
    /// - Shapes: `a` `[order, order]`, `b` `[count, order]`, which becomes `M`.
    /// - Returns: 0, or where `A` is not positive definite to rounding; its lower half and `B` then are as they were.
    static func solve(
        _ a: UnsafeMutablePointer<Double>, _ b: UnsafeMutablePointer<Double>, order: Int, count: Int
    ) throws(DecompositionError) -> Int {
        let n = try size(order)
        var info: Int32 = 0
        // Read column-major, the rows of B are the right-hand sides, and the lower triangle is the upper one of A as it lies.
        dposv_("L", [n], [try size(count)], a, [n], b, [n], &info, 1)
        if info < 0 { throw .notConverged(Int(info)) }
        return Int(info)
    }

    /// Solves `M A = B` by LU with pivots; `A` is lost.
    ///
    /// - Shapes: `a` `[order, order]`, `b` `[count, order]`, which becomes `M`.
    static func solveGeneral(
        _ a: UnsafeMutablePointer<Double>, _ b: UnsafeMutablePointer<Double>, order: Int, count: Int
    ) throws(DecompositionError) {
        let n = try size(order)
        var pivots = [Int32](repeating: 0, count: order)
        var info: Int32 = 0
        // Read column-major, the transposes: Aᵀ Mᵀ = Bᵀ.
        dgesv_([n], [try size(count)], a, [n], &pivots, b, [n], &info)
        try check(info)
    }

    private static func check(_ info: Int32) throws(DecompositionError) {
        if info != 0 { throw .notConverged(Int(info)) }
    }

    private static func size(_ count: Int) throws(DecompositionError) -> Int32 {
        guard let size = Int32(exactly: count) else { throw .tooLarge }
        return size
    }
}
