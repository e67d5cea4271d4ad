import Interference
import Reporting
import Work

extension ResolverFootprint {
    /// The bytes that training takes at its peak, if they are allowed.
    ///
    /// - Parameters:
    ///   - work: what is done, at the beginning of the message.
    ///   - more: bytes that are held beside the training.
    ///   - inputCount: the auxiliary inputs.
    /// - Throws: `interference.memory` when it is more than is allowed.
    func required(
        for work: String, beside more: Int, inputCount: Int, in context: Context
    ) throws(InterferenceError) -> Int {
        let (sum, overflow) = byteCount.addingReportingOverflow(more)
        let needed = overflow ? .max : sum
        if let limit = context.memory, needed > limit {
            throw InterferenceError(
                .memory,
                "\(work) takes about \(ByteSize(needed)) of working memory, but \(ByteSize(limit)) are allowed",
                hint:
                    "raise --memory to at least \(ByteSize(needed).roundedUp), or take a smaller --micro-batch-size or "
                    + "fewer than \(inputCount) auxiliary inputs")
        }
        return needed
    }
}
