package import Kernels
package import Networks
package import TensorCore

/// Sums over the inputs of a set that say what a model does with them.
package protocol InputStatistics: AnyObject {
    /// How many inputs are added at a time.
    var chunkSize: Int { get }

    /// Adds some inputs.
    ///
    /// - Parameters:
    ///   - chunk: at most `chunkSize` of them.
    ///   - first: the number of the first in the whole set, which the others follow.
    /// - Throws: `InterferenceError` `interference.diverged` when the model makes something of them that is no number.
    func add(_ chunk: LoadedInputs, first: Int, parameters: FloatBuffer, threads: Int) throws
}

extension InputStatistics {
    /// Adds inputs of a set in their order, and reads those ahead that come next.
    ///
    /// - Parameter didAdd: told after each chunk how many were added, and how many inputs it had.
    /// - Throws: what `add`, `didAdd` and reading a stream throw.
    package func add(
        _ rows: Range<Int>, of inputs: InputSet, parameters: FloatBuffer, budget: ComputeBudget,
        didAdd: (_ total: Int, _ chunk: Int) throws -> Void
    ) throws {
        let loader = BatchLoader(inputs)
        func chunk(from start: Int) -> [Int]? {
            start < rows.upperBound ? Array(start..<min(rows.upperBound, start + chunkSize)) : nil
        }
        var start = rows.lowerBound
        while let chosen = chunk(from: start) {
            let next = start + chosen.count
            let loaded = try loader.load(chosen, next: chunk(from: next))
            try add(loaded, first: start, parameters: parameters, threads: budget.threads)
            start = next
            try didAdd(start - rows.lowerBound, chosen.count)
        }
    }
}

extension ProductMoments: InputStatistics {
    package func add(_ chunk: LoadedInputs, first: Int, parameters: FloatBuffer, threads: Int) throws {
        chunk.rows.withUnsafeBufferPointer { add(parameters: parameters, chunk.inputs, rows: $0, threads: threads) }
    }
}
