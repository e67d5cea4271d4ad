import ArgumentParser
import Checkpoints
import SystemPackage

/// The base of an input that is stored as the difference to one.
struct BaseOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The base of a .skein file that was written against one (default: the recorded name, beside the file).",
            valueName: "checkpoint"))
    var base: CheckpointSource?

    /// Where it is.
    ///
    /// - Throws: as `Session.locate`.
    func path(in session: Session, subfolder: FilePath?) throws -> FilePath? {
        try base.map { try session.locate($0, subfolder: subfolder) }
    }
}
