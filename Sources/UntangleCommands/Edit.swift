import ArgumentParser
import Checkpoints
import Reporting
import SystemPackage
import TensorCore
import Transcoding

/// Changes what a file says of its tensors and of itself.
struct Edit: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change metadata and names of a safetensors or GGUF file, or drop tensors.",
        discussion: """
            The numbers stay what they are. Where the new header takes the room of the old one, only the header is written, \
            however large the file; otherwise the file is written anew, and a safetensors header gets room for the next \
            edit. Either way the file is seen with its old header or with its new one, also when the edit is killed. Links \
            and files with several names, as in the cache of the hub, are not written into: the path gets a file of its own.

            In GGUF a value keeps the kind that its key has; a new key is a text, or of the kind behind a colon, as \
            'KEY:uint32=5'. Parts of a split file keep their tensors, and every file its alignment.

            Example:
              cp Fixtures/suites/tiny/base.safetensors model.safetensors
              untangle edit model.safetensors --metadata license=mit
            """)

    @Argument(help: "A safetensors or GGUF file.")
    var file: FilePath

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("Add an entry to the metadata, or replace it; repeatable.", valueName: "key=value"))
    var metadata: [String] = []

    @Option(
        parsing: .singleValue, help: ArgumentHelp("Remove an entry of the metadata; repeatable.", valueName: "key"))
    var remove: [String] = []

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Rewrite names of tensors, as sed does: 'REGEX=>REPLACEMENT', with $1 for groups; repeatable, applied in order.",
            valueName: "rule"))
    var rename: [String] = []

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("Leave out the tensors that match; repeatable.", valueName: "pattern"))
    var drop: [String] = []

    @Option(help: ArgumentHelp("Write an edited copy here and leave FILE as it is.", valueName: "file"))
    var output: FilePath?

    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        session.reads(file)
        let edit = CheckpointEdit(
            metadata: try metadata.map(Metadata.Entry.init(argument:)), removedKeys: remove,
            dropped: TensorPatterns(drop), renames: try rename.map { try TensorRename($0) })
        let result = try CheckpointEditor.apply(edit, to: file, output: output, options: writing.writeOptions())
        try session.print(report(of: result), to: reports)
        return .done
    }

    private func report(of result: EditReport) -> Report {
        let path = (output ?? file).string
        var changes: [String] = []
        if !metadata.isEmpty { changes.append("\(metadata.count) set") }
        if !remove.isEmpty { changes.append("\(remove.count) removed") }
        if result.renamedCount > 0 { changes.append("\(result.renamedCount.grouped) renamed") }
        if result.droppedCount > 0 { changes.append("\(result.droppedCount.grouped) dropped") }
        let done = changes.isEmpty ? "nothing changed" : changes.joined(separator: ", ")
        let place = result.isInPlace ? "its data stayed where it was" : "written anew, \(ByteSize(result.byteCount))"
        return Report(
            title: path,
            sections: [
                .facts([
                    .init("output", .text(path)), .init("in_place", .flag(result.isInPlace)),
                    .init("metadata_set", .integer(metadata.count)), .init("metadata_removed", .integer(remove.count)),
                    .init("renamed", .integer(result.renamedCount)), .init("dropped", .integer(result.droppedCount)),
                    .init("bytes", .integer(result.byteCount)),
                ]), .text(["\(path): \(done); \(place)"]),
            ])
    }
}
