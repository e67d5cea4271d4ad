import Kernels

/// The weighted sum of pruned tensors, or of their entries with the sign that most have, over the number of these.
///
///     y = Σ w_i prune(x_i)
///     y = Σ w_i prune(x_i) [sign = γ] / max(1, Σ [sign = γ]),   γ the sign of Σ prune(x_i), or of Σ sign(prune(x_i)); + of 0
///
/// Tensors are made twice where signs are elected, so that only one is held at a time.
struct TensorCombination: Sendable {
    /// nil keeps all entries.
    let pruning: Pruning?
    /// For every adapter, where there is a pruning.
    let densities: [Double]
    /// For every adapter, where the pruning is random.
    let generators: [CounterGenerator]
    /// nil adds everything up.
    let election: Election?

    enum Pruning: Sendable {
        /// The largest stay.
        case magnitude
        /// Entries are dropped at random, and the others made larger.
        case random
    }

    enum Election: String, CaseIterable, ParameterType { case total, frequency }

    /// One of the tensors.
    struct Operand {
        let adapter: Int
        let weight: Double
        /// Makes the tensor.
        let make: (Matrix<Double>) -> Void
    }

    /// How many matrices of the result's size `merge` takes.
    static let matrixCount = 3

    /// Adds tensors up.
    ///
    /// - Parameter result: zeros; becomes the sum.
    /// - Throws: `IOError` when there is no memory.
    func merge(_ operands: [Operand], into result: Matrix<Double>) throws {
        let values = try Matrix<Double>(rows: result.rows, columns: result.columns)
        guard let election else {
            for operand in operands {
                make(operand, in: values)
                for i in 0..<result.count { result.pointer[i] += operand.weight * values.pointer[i] }
            }
            return
        }
        let votes = try Matrix<Double>(rows: result.rows, columns: result.columns)
        for operand in operands {
            make(operand, in: values)
            for i in 0..<votes.count {
                let value = values.pointer[i]
                votes.pointer[i] += election == .total ? value : value > 0 ? 1 : value < 0 ? -1 : 0
            }
        }
        let counts = try Matrix<Double>(rows: result.rows, columns: result.columns)
        for operand in operands {
            make(operand, in: values)
            for i in 0..<result.count {
                let value = values.pointer[i]
                guard votes.pointer[i] >= 0 ? value > 0 : value < 0 else { continue }
                result.pointer[i] += operand.weight * value
                counts.pointer[i] += 1
            }
        }
        for i in 0..<result.count where counts.pointer[i] > 1 { result.pointer[i] /= counts.pointer[i] }
    }

    private func make(_ operand: Operand, in values: Matrix<Double>) {
        operand.make(values)
        guard let pruning, densities[operand.adapter] < 1 else { return }
        let density = densities[operand.adapter]
        switch pruning {
        case .magnitude: keepLargest(Int(density * Double(values.count)), of: values)
        case .random:
            let generator = generators[operand.adapter]
            for i in 0..<values.count {
                let isKept = generator.uniform(UInt64(i)) < density
                values.pointer[i] = isKept ? values.pointer[i] / density : 0
            }
        }
    }

    /// Keeps exactly so many entries: of those equal to the last one the first.
    private func keepLargest(_ count: Int, of values: Matrix<Double>) {
        guard count > 0 else {
            values.values.update(repeating: 0)
            return
        }
        let least = largestMagnitude(number: count, among: values.pointer, count: values.count)
        var equal = count - values.values.count { abs($0) > least }
        for i in 0..<values.count where abs(values.pointer[i]) <= least {
            if abs(values.pointer[i]) == least, equal > 0 {
                equal -= 1
            } else {
                values.pointer[i] = 0
            }
        }
    }
}
