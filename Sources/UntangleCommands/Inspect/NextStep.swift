import Checkpoints
import ModelFolders
import SystemPackage
import TensorCore

/// The command that people who looked at a checkpoint are likely to type next.
struct NextStep {
    /// As typed, without the name of the program.
    let command: String

    /// What follows one checkpoint: numbers of quantised weights and of adapters mean nothing by themselves, and nothing is computed
    /// with them.
    ///
    /// - Parameter hasStatistics: whether they were asked for.
    init(after inspection: Inspection, at path: FilePath, hasStatistics: Bool) {
        let checkpoint = path.string.quotedForShell
        let isPart = inspection.model.map { $0.quantization != nil || $0.adapter != nil } ?? false
        if inspection.reader.format == .skein {
            command = "convert \(checkpoint) \(Self.freeFile(beside: path).string.quotedForShell)"
        } else if inspection.model != nil, !isPart {
            command = "vectors --base BASE \(checkpoint)"
        } else if isPart || hasStatistics {
            command = "verify \(checkpoint)"
        } else {
            command = "inspect \(checkpoint) --stats"
        }
    }

    /// A safetensors file of the same name, with a number where there is one.
    private static func freeFile(beside path: FilePath) -> FilePath {
        let (folder, stem) = (path.removingLastComponent(), path.stem ?? "model")
        var (file, number) = (folder.appending("\(stem).safetensors"), 1)
        while fileExists(file) {
            number += 1
            file = folder.appending("\(stem)-\(number).safetensors")
        }
        return file
    }

    /// What follows several checkpoints that can be read: two are compared, more are taken for a base and its experts.
    init(after names: [String]) {
        let checkpoints = names.map(\.quotedForShell)
        command =
            checkpoints.count == 2
            ? "diff \(checkpoints.joined(separator: " "))"
            : "vectors --base \(checkpoints.joined(separator: " "))"
    }
}
