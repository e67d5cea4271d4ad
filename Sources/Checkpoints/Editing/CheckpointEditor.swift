import SystemPackage
import TensorCore

/// Carries out edits of safetensors and GGUF files.
public enum CheckpointEditor {
    /// Edits a file, or writes an edited copy of it.
    ///
    /// Where the new head takes the room of the old one and no data moves, only the head is written; otherwise the file is written
    /// anew beside the old one and takes its place. A link, and a file with several names, is never written into: what has its
    /// place is a file of its own.
    ///
    /// - Parameter output: where the copy goes; nil edits the file itself.
    /// - Throws: `EditError`, `FormatError` when the file breaks a rule of its format, `IOError`.
    public static func apply(
        _ edit: CheckpointEdit, to path: FilePath, output: FilePath? = nil, options: WriteOptions = WriteOptions()
    ) throws -> EditReport {
        if edit.isEmpty { throw EditError(.nothing, "there is nothing to change") }
        if folderExists(path) || path.isShardIndex {
            throw EditError(
                .format, "\(path.string) is no single file", file: path, hint: "name one of its files")
        }
        if let output { try AtomicOutput.checkPlace(output, options: options) }
        // Held until the file has its new head or its name: what another edit made of it meanwhile is never lost.
        let locked = try LockedFile(path)
        let file = FileDescription(path: path, file: try EditJournal.map(locked))
        let format = try FileSignature(of: path, in: file.file).format()
        let edited: EditedFile
        switch format.id {
        case .safetensors: edited = try edit.safetensors(file)
        case .gguf: edited = try edit.gguf(file)
        default:
            throw EditError(
                .format, "\(path.string) is \(format.title); safetensors and GGUF files are edited", file: path,
                hint: "write another file with `untangle convert`")
        }
        if edited.renamedCount + edited.droppedCount > 0 { try requireNoIndex(of: output ?? path) }
        let isInPlace =
            output == nil && locked.isWritable && isOwnFile(path) && edited.isInPlace(in: file.file)
            && EditJournal.hasRoom(beside: path)
        if isInPlace {
            // What is mapped may not be written to.
            _ = consume file
            try EditJournal.replaceHead(of: locked, with: edited.head, sync: options.sync)
        } else {
            var options = options
            if output == nil { options.force = true }
            try edited.write(from: file.file, to: output ?? path, options: options)
        }
        locked.release()
        return EditReport(
            isInPlace: isInPlace, renamedCount: edited.renamedCount, droppedCount: edited.droppedCount,
            byteCount: edited.byteCount)
    }

    /// Whether a path is a file with no other name: others would see what is written into it.
    private static func isOwnFile(_ path: FilePath) -> Bool {
        FileStatus(of: path, followsLinks: false).map { $0.isRegularFile && $0.linkCount == 1 } ?? false
    }

    /// Makes sure that no index lists the tensors of a file that is written.
    private static func requireNoIndex(of path: FilePath) throws {
        guard let name = path.lastComponent?.string else { return }
        let folder = path.removingLastComponent()
        for entry in (try? entries(of: folder.isEmpty ? "." : folder)) ?? [] where ShardIndexName(entry) != nil {
            let index = folder.appending(entry)
            guard let places = try? ShardIndex(reading: index).places, places.contains(where: { $0.shard == name })
            else { continue }
            throw EditError(
                .shard, "\(path.string) is a part of the checkpoint that \(entry.escapingControlCharacters) lists",
                file: path,
                hint:
                    "rename and drop tensors with `untangle convert \(index.string) OUTPUT`, or write a copy of another name with --output"
            )
        }
    }
}
