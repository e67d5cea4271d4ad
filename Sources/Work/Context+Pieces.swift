import Kernels
import Reporting
import TensorCore

extension Context {
    /// Works on pieces in parallel, on as many at once as the memory holds, and tells how many are done.
    ///
    /// - Parameter needs: the bytes that each piece takes; one that takes more than there are works alone.
    /// - Returns: the results in the order of the pieces.
    /// - Throws: as `parallel`.
    package func map<Result: Sendable>(
        _ title: String, unit: ProgressUnit, needs: [Int], _ body: @Sendable (Int) throws -> Result
    ) throws -> [Result] {
        progress.begin(title, total: needs.count, unit: unit)
        defer { progress.end() }
        let gate = MemoryGate(limit: memory ?? .max)
        return try parallelMap(count: needs.count, threads: budget.threads) { [progress] place in
            gate.enter(needs[place])
            defer {
                gate.leave(needs[place])
                progress.advance(by: 1)
            }
            return try body(place)
        }
    }
}
