import TensorCore

/// What a run finds out about itself.
public enum RunWarning: String, WarningCode {
    public static let area = "run"

    /// Resolving made the interference worse.
    case moreInterference = "more_interference"
    /// There is no state that resolving could go on from.
    case nothingToResume = "nothing_to_resume"
    /// The tasks of an earlier submission are still at work.
    case submittedBefore = "submitted_before"
    /// Parts of an earlier merge have lost shards to another part.
    case partWithdrawn = "part_withdrawn"
    /// Compared merges were measured on different tasks.
    case differentTasks = "different_tasks"
}
