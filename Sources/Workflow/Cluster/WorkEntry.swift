import Checkpoints
import Work

/// One entry of a list of work that a process can carry out alone. Its description is what `--job` takes.
public protocol WorkEntry: Sendable, Hashable, LosslessStringConvertible {
    /// What its names look like, for people.
    static var forms: String { get }
    /// What entries have in common that can be carried out at the same time.
    var stage: String { get }
}

extension InputError {
    /// That an entry cannot be carried out yet.
    ///
    /// - Parameters:
    ///   - missing: what is not there.
    ///   - entry: what makes it.
    ///   - isThere: whether something else has to give way to it.
    public static func notReady(
        _ missing: String, madeBy entry: some WorkEntry, replacing isThere: Bool = false
    ) -> InputError {
        InputError(
            .notReady, "\(missing) is not there yet, or was made with other settings or inputs",
            hint: "--job \(entry.description.quotedForShell)\(isThere ? " --force" : "") makes it")
    }
}
