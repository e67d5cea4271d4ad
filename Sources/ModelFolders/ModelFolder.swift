import Checkpoints
import Glibc
import SystemPackage
import TensorCore

/// The folder that a checkpoint lies in, as transformers lays models out: weights, `config.json`, tokenizer, and more.
package struct ModelFolder: Sendable {
    let path: FilePath
    /// Nil when there is no `config.json`, or none that can be read.
    let config: ModelConfig?
    /// What should be known about the folder.
    package let warnings: [Warning]

    /// Looks around a checkpoint; nil when it is not a file.
    init?(of store: TensorStore) {
        let file = store.path
        guard fileExists(file) else { return nil }
        let folder = file.removingLastComponent()
        path = folder.isEmpty ? "." : folder
        let configPath = path.appending(ModelConfig.fileName)
        guard fileExists(configPath) else {
            config = nil
            warnings = []
            return
        }
        do {
            config = try ModelConfig(reading: configPath)
            warnings = []
        } catch {
            config = nil
            warnings = [
                Warning(
                    FolderWarning.config,
                    "\(configPath.string) cannot be read and is left as it is: "
                        + ((error as? any Diagnostic)?.message ?? "\(error)"))
            ]
        }
    }

    /// The files of the folder that may go along with its weights, by name.
    ///
    /// - Parameter checkpoint: the weights; when they are not the only ones in the folder, only files that are known by their
    ///   names to describe a model count.
    package func companions(of checkpoint: FilePath) -> CompanionFiles {
        var files = CompanionFiles()
        let isOwn = CheckpointFolder.isSpokenFor(by: checkpoint)
        for name in Self.names(in: path) { files.add(name, in: path, isOwn: isOwn) }
        return files
    }

    /// The names of the regular files, or of what else `kind` says, hidden ones left out, sorted.
    package static func names(in path: FilePath, kind: mode_t = S_IFREG) -> [String] {
        // Through links: a hub cache has links to blobs.
        ((try? entries(of: path)) ?? []).filter { FileStatus(of: path.appending($0))?.kind == kind }
    }
}
