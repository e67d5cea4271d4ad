package import Kernels
package import TensorCore

/// Told on a pass forward what the weight of a stream writer is multiplied with.
///
/// - Parameters:
///   - weight: where the weight starts in the parameter vector.
///   - inputs: `[count, inputs of the weight]`, valid during the call. Padding is not among them.
public typealias ProductObserver = (_ weight: Int, _ inputs: UnsafePointer<Float>, _ count: Int) -> Void

extension Network {
    /// The second moments of what the weights of stream writers are multiplied with, over all inputs of a set: `Σ x xᵀ`.
    ///
    /// - Shapes: for each weight, by where it starts in the parameter vector, `[inputs of the weight, inputs of the weight]`.
    /// - Cost: one pass forward and `inputs²` a token and weight; all moments are in memory, in F32. Results do not depend on the number of
    ///   threads.
    /// - Throws: `NetworkError` when sizes do not fit or memory is short; `IOError`, `DecompositionError` when there is none for moments;
    ///   what reading a stream throws.
    package func productMoments(
        parameters: FloatBuffer, inputs: InputSet, budget: ComputeBudget
    ) throws -> [Int: Matrix<Float>] {
        try check(parameters: parameters)
        try input.check(inputs)
        var moments: [Int: Matrix<Float>] = [:]
        for writer in streamWriters.writers where writer.isProduct {
            let width = writer.entry.range.count / streamWriters.width
            moments[writer.entry.range.lowerBound] = try Matrix(rows: width, columns: width)
        }
        let chunkSize = max(1, min(32, 2048 / tokenCount(of: inputs)))
        let workspace = try workspace(
            capacity: min(chunkSize, inputs.count), tokenCount: tokenCount(of: inputs), purpose: .inference)
        workspace.productObserver = { [moments] weight, inputs, count in
            guard let moment = moments[weight] else { return }
            let width = moment.rows
            multiply(
                width, width, count, .transposed(inputs, stride: width), .rows(inputs, stride: width),
                into: moment.pointer, stride: width, accumulate: true)
        }
        for start in stride(from: 0, to: inputs.count, by: chunkSize) {
            let chunk = try inputs.loaded(Array(start..<min(inputs.count, start + chunkSize)))
            chunk.rows.withUnsafeBufferPointer { rows in
                Team.lead(of: budget.threads) {
                    _ = workspace.forward(parameters.pointer, chunk.inputs, rows: rows)
                }
            }
        }
        return moments
    }
}
