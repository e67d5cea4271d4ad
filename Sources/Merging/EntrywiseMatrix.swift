import Kernels
import TensorCore

/// A tensor that is merged element by element, as a whole matrix: what the rule moves the base by, in F64.
struct EntrywiseMatrix {
    private let rule: any ElementwiseRule
    private let chunks: [MergeChunk]

    /// Has a rule survey the tensor.
    ///
    /// - Parameters:
    ///   - rule: one that has surveyed nothing yet.
    ///   - tensor: the tensor's place in the merge.
    ///   - elementCount: of the whole tensor.
    init(_ rule: any ElementwiseRule, tensor: Int, elementCount: Int, base: MergeSource, experts: [MergeSource]) {
        self.rule = rule
        chunks = chunkRanges(of: 0..<elementCount, by: MergeChunk.capacity).enumerated().map { number, range in
            MergeChunk(tensor: tensor, number: number, range: range, base: base, experts: experts)
        }
        guard let survey = rule.survey else { return }
        for pass in 0..<survey.passCount where survey.needs(pass: pass) {
            if survey.readsModels { for chunk in chunks { survey.observe(chunk, pass: pass) } }
            survey.finish(pass: pass)
        }
    }

    /// Bytes that a value, and `readChange`, takes.
    static func workingByteCount(_ rule: PlannedRule) -> Int {
        let surveying = (rule.survey?.scratchByteCount ?? 0) + (rule.survey == nil ? 0 : 2 * rowByteCount)
        return max(rowByteCount * (2 + rule.scratchRowCount), surveying) + (rule.survey?.byteCount ?? 0)
    }

    private static let rowByteCount = mergeBlockCapacity * MemoryLayout<Double>.stride

    /// Reads what the merge changes in the tensor, or in one matrix of a stack.
    ///
    /// - Parameter number: its place in the stack.
    func readChange(of number: Int, into result: Matrix<Float>) {
        let wanted = number * result.count..<(number + 1) * result.count
        let rowCount = 2 + rule.scratchRowCount(expertCount: chunks.first?.experts.count ?? 0)
        withUnsafeTemporaryAllocation(of: Double.self, capacity: rowCount * mergeBlockCapacity) { memory in
            let merged = memory.baseAddress!
            let base = merged + mergeBlockCapacity
            for chunk in chunks where chunk.range.overlaps(wanted) {
                for run in chunkRanges(of: chunk.range.clamped(to: wanted), by: mergeBlockCapacity) {
                    let block = MergeBlock(
                        chunk: chunk, offset: run.lowerBound - chunk.range.lowerBound, count: run.count,
                        result: merged, scratch: base + mergeBlockCapacity)
                    rule.merge(block)
                    block.readBase(into: base)
                    let target = result.pointer + (run.lowerBound - wanted.lowerBound)
                    for i in 0..<run.count { target[i] = Float(merged[i] - base[i]) }
                }
            }
        }
    }
}
