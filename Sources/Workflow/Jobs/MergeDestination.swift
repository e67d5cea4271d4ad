import Checkpoints
import Merging
import ModelFolders
import SystemPackage
import TensorCore

/// What a merge writes to: made before it, finished after it.
enum MergeDestination {
    case memory(MemoryCheckpointWriter)
    case file(any CheckpointWriter, FilePath)
    case folder(MergedFolder, FilePath)

    /// Takes the tensors.
    var writer: any CheckpointWriter {
        switch self {
        case .memory(let writer): writer
        case .file(let writer, _): writer
        case .folder(let folder, _): folder.writer
        }
    }

    /// To be told of what is read and written, where somebody wants to know.
    var ledger: MergeLedger? { if case .folder(let folder, _) = self { folder.ledger } else { nil } }

    /// Does work that writes; errors name the paths that the user knows.
    func named<Result>(_ work: () throws -> Result) throws -> Result {
        if case .folder(let folder, _) = self { try folder.named(work) } else { try work() }
    }

    /// Gives the result its place.
    func finish(_ report: MergeReport) throws -> MergeJob.Outcome {
        switch self {
        case .memory(let writer):
            _ = try writer.finish()
            guard let checkpoint = writer.checkpoint else {
                preconditionFailure("a finished writer has a checkpoint")
            }
            return MergeJob.Outcome(
                report: report, written: nil, folder: nil, place: .memory(TensorStore(checkpoint)))
        case .file(let writer, let path):
            return MergeJob.Outcome(report: report, written: try writer.finish(), folder: nil, place: .file(path))
        case .folder(let folder, let path):
            var report = report
            let (written, contents, warnings) = try folder.finish(report)
            report.warnings += warnings
            return MergeJob.Outcome(report: report, written: written, folder: contents, place: .file(path))
        }
    }
}
