import Interference
import Reporting
import Work

extension Context {
    /// The bytes that work takes at its peak, if they are allowed.
    ///
    /// - Parameters:
    ///   - byteCount: what the work itself takes.
    ///   - work: what is done, at the beginning of the message.
    ///   - more: bytes that are held beside it.
    ///   - hint: what would take less, to follow "or take"; nil where nothing would.
    /// - Throws: `interference.memory` when it is more than is allowed.
    func required(
        _ byteCount: Int, for work: String, beside more: Int, orTake hint: String?
    ) throws(InterferenceError) -> Int {
        let (sum, overflow) = byteCount.addingReportingOverflow(more)
        let needed = overflow ? .max : sum
        if let memory, needed > memory {
            throw InterferenceError(
                .memory,
                "\(work) takes about \(ByteSize(needed)) of working memory, but \(ByteSize(memory)) are allowed",
                hint: "raise --memory to at least \(ByteSize(needed).roundedUp)"
                    + (hint.map { ", or take \($0)" } ?? ""))
        }
        return needed
    }
}
