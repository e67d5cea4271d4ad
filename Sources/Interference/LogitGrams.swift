import Kernels
import TensorCore

/// What heads read of the output of one tensor: A of the own head and B of the others; see `ClosedFormResolver`.
struct LogitGrams {
    /// The mean diagonal of A.
    private let ownMean: Double
    /// `αB`, `[width, width]`.
    private let others: Matrix<Double>
    /// Of `A + αB`.
    private let sum: SymmetricEigen

    /// Adds up the heads' Gram matrices.
    ///
    /// - Parameters:
    ///   - heads: the weight of each on the stream, `[classes, width]`; two or more.
    ///   - scale: what the tensor's output is multiplied by, `[width]`; nil for 1.
    init(_ heads: [Matrix<Double>], own: Int, alpha: Double, scale: UnsafePointer<Float>?) throws {
        let width = heads[own].columns
        let others = try Matrix<Double>(rows: width, columns: width)
        let sum = try Matrix<Double>(rows: width, columns: width)
        for (number, head) in heads.enumerated() {
            let scaled = try Self.scaled(head, by: scale)
            let isOwn = number == own
            multiply(
                width, width, head.rows, scaled.transposed, scaled.view, into: (isOwn ? sum : others).pointer,
                stride: width, accumulate: true, alpha: isOwn ? 1 : alpha / Double(heads.count - 1))
        }
        ownMean = (0..<width).reduce(0) { $0 + sum.pointer[$1 * (width + 1)] } / Double(width)
        for place in 0..<sum.count { sum.pointer[place] += others.pointer[place] }
        self.others = others
        self.sum = try SymmetricEigen(destroying: sum)
    }

    /// What has to be taken from a change: E.
    ///
    /// - Shapes: `change` `[width, n]`, like the result; `moments` of order `n`.
    func correction(of change: Matrix<Double>, moments: SymmetricEigen?, ridge: Double) throws -> Matrix<Double> {
        let (C, n) = (change.rows, change.columns)
        let product = try Matrix<Double>(rows: C, columns: n)
        let result = try Matrix<Double>(rows: C, columns: n)
        multiply(C, n, C, others.view, change.view, into: product.pointer, stride: n)
        multiply(C, n, C, sum.vectors.view, product.view, into: result.pointer, stride: n)
        if let moments {
            multiply(C, n, n, result.view, moments.vectors.transposed, into: product.pointer, stride: n)
        } else {
            product.pointer.update(from: result.pointer, count: product.count)
        }
        let energies = moments.map { $0.values.map { max($0, 0) } }
        let mean = energies.map { $0.reduce(0, +) / Double(max(n, 1)) } ?? 1
        // What no head reads but for rounding.
        let threshold = (sum.values.last ?? 0) * Double(C) * Double.ulpOfOne
        for i in 0..<C {
            let m = sum.values[i]
            for k in 0..<n {
                let energy = energies?[k] ?? 1
                let divisor = m * energy + ridge * ownMean * mean
                product.pointer[i * n + k] *= m > threshold && divisor > 0 ? energy / divisor : 0
            }
        }
        if let moments {
            multiply(C, n, n, product.view, moments.vectors.view, into: result.pointer, stride: n)
        } else {
            result.pointer.update(from: product.pointer, count: product.count)
        }
        multiply(C, n, C, sum.vectors.transposed, result.view, into: product.pointer, stride: n)
        return product
    }

    private static func scaled(_ head: Matrix<Double>, by scale: UnsafePointer<Float>?) throws -> Matrix<Double> {
        guard let scale else { return head }
        let result = try Matrix<Double>(rows: head.rows, columns: head.columns)
        for row in 0..<head.rows {
            for column in 0..<head.columns {
                let place = row * head.columns + column
                result.pointer[place] = head.pointer[place] * Double(scale[column])
            }
        }
        return result
    }
}
