import ArgumentParser

/// A subcommand: parsed options that run within a session.
protocol ToolCommand: ParsableCommand {
    var shared: SharedOptions { get }

    /// Does the work.
    ///
    /// - Returns: `.no` when the answer is no.
    /// - Throws: a `Diagnostic`, whose severity becomes the exit status.
    func run(in session: Session) throws -> ExitStatus
}
