public import Kernels
import Synchronization
public import TensorCore

extension Network {
    /// The features of inputs.
    ///
    /// - Shapes: `parameters` `[parameterCount]`; the result is `[N, featureSize]`, row-major.
    /// - Throws: as `features(parameters:sets:budget:)`.
    public func features(
        parameters: FloatBuffer, inputs: InputSet, budget: ComputeBudget
    ) throws -> [Float] {
        try features(parameters: parameters, sets: [inputs], budget: budget)[0]
    }

    /// The features of the inputs of several sets.
    ///
    /// - Shapes: `parameters` `[parameterCount]`; the result is `[N, featureSize]` for every set, row-major.
    /// - Cost: inputs are cut in chunks of a fixed size that workers take as they get free; results do not depend on the number
    ///   of threads, or on the other sets.
    /// - Throws: `NetworkError` when sizes do not fit or memory is short; what reading a stream throws.
    public func features(
        parameters: FloatBuffer, sets: [InputSet], budget: ComputeBudget
    ) throws -> [[Float]] {
        try features(
            parameters: parameters,
            selections: sets.map { inputs in
                (inputs, Array(0..<inputs.count), max(1, min(32, 2048 / tokenCount(of: inputs))))
            }, budget: budget)
    }

    /// The features of chosen inputs of a set, in the order of `rows`, computed `chunkSize` at a time.
    ///
    /// The last bits of a feature depend on the chunk's size, because OpenBLAS adds up in another order for matrices of
    /// another size.
    ///
    /// - Precondition: every row lies inside the set.
    package func features(
        parameters: FloatBuffer, inputs: InputSet, rows: [Int], chunkSize: Int, budget: ComputeBudget
    ) throws -> [Float] {
        try features(
            parameters: parameters, selections: [(inputs, rows, chunkSize)], budget: budget)[0]
    }

    private func features(
        parameters: FloatBuffer, selections: [Selection], budget: ComputeBudget
    ) throws -> [[Float]] {
        try check(parameters: parameters)
        var chunks: [(selection: Int, rows: Range<Int>)] = []
        var results: [FloatBuffer] = []
        let width = featureSize
        for (place, (inputs, rows, chunkSize)) in selections.enumerated() {
            try input.check(inputs)
            precondition(rows.allSatisfy { 0..<inputs.count ~= $0 }, "a row lies outside of the set")
            for start in stride(from: 0, to: rows.count, by: chunkSize) {
                chunks.append((place, start..<min(rows.count, start + chunkSize)))
            }
            do { results.append(try FloatBuffer(count: rows.count * width)) } catch { throw NetworkError(error) }
        }
        let workerCount = max(1, min(budget.threads, chunks.count))
        // Threads without a chunk of their own help with those of others.
        let team = budget.threads / workerCount
        var workspaces: [any NetworkWorkspace] = []
        for _ in 0..<workerCount {
            workspaces.append(
                try workspace(
                    capacity: selections.map(\.chunkSize).max() ?? 1,
                    tokenCount: selections.map { tokenCount(of: $0.inputs) }.max() ?? 1, purpose: .inference))
        }
        let idle = Mutex(workspaces)
        let (buffers, work) = (results, chunks)
        try parallel(count: work.count, threads: workerCount) { number in
            guard let workspace = idle.withLock({ $0.popLast() }) else {
                preconditionFailure("there are as many workspaces as workers")
            }
            defer { idle.withLock { $0.append(workspace) } }
            let (selection, range) = work[number]
            let chunk = try selections[selection].inputs.loaded(Array(selections[selection].rows[range]))
            // Safety: each chunk writes its own rows of a result, and arrays outlive the calls.
            chunk.rows.withUnsafeBufferPointer { rows in
                Team.lead(of: team) {
                    let features = workspace.forward(parameters.pointer, chunk.inputs, rows: rows)
                    (buffers[selection].pointer + range.lowerBound * width)
                        .update(from: features, count: range.count * width)
                }
            }
        }
        return results.map(\.numbers)
    }

    private typealias Selection = (inputs: InputSet, rows: [Int], chunkSize: Int)
}
