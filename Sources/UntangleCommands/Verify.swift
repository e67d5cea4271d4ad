import ArgumentParser
import Checkpoints
import Reporting
import SystemPackage
import TensorCore

/// Reads a checkpoint through and checks everything that can be checked.
struct Verify: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Check every rule of a checkpoint's format and every checksum.",
        discussion: """
            Ends with status 0 when all is well, 1 with a list of damaged tensors when stored data is damaged, and 3 when \
            the description of the data breaks a rule, so that tensors cannot be told apart. safetensors has no \
            checksums: there, rules and sizes are what can be checked. Of a .skein file every byte is covered by a checksum; \
            with --deep every tensor is also decoded and compared with the hash of its contents, which takes the base of a file \
            that was written against one.

            With --recursive every checkpoint in a folder and below is checked, with a line for each; the status is the \
            highest of all.

            Example:
              untangle verify Fixtures/suites/tiny/test_digits.npz
            """)

    @Argument(help: "A file, a *.index.json, or a folder.")
    var checkpoint: FilePath

    @Flag(help: "skein: also decode everything and compare contents.")
    var deep = false

    @Flag(
        help: ArgumentHelp(
            "Check all checkpoints in a folder and below it. Links are followed, hidden folders and other files are not looked at."
        ))
    var recursive = false

    @OptionGroup var base: BaseOption
    @OptionGroup var input: InputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        if recursive { return try verifyTree(in: session) }
        let verification = try verify(checkpoint, in: session, warn: session.warn)
        if session.json {
            try session.print(verification.json)
        } else {
            try session.print(text(of: verification))
        }
        return verification.damage.isEmpty ? .done : .no
    }

    private func verify(
        _ path: FilePath, in session: Session, warn: (Warning) -> Void
    ) throws -> Verification {
        do {
            let reader = try CheckpointFormat.open(
                path, options: input.readOptions(base: base.base, threads: session.budget.threads))
            reader.warnings.forEach(warn)
            // Contents that cannot be worked out are not damaged.
            if deep { try (reader as? SkeinReader)?.requireBase() }
            return try session.verify(reader, deep: deep)
        } catch let error as FormatError where error.category.isDamage {
            // Damage in what had to be decoded to learn about the tensor at all.
            return Verification(damage: [Damage(error, in: path)])
        }
    }

    private func text(of verification: Verification) -> String {
        let line = checkpoint.string.escapingControlCharacters + ": " + verification.text + "\n"
        return verification.damage.isEmpty ? line : Damage.table(verification.damage).rendered() + line
    }
}

// MARK: - Trees

extension Verify {
    /// What became of one checkpoint of a tree.
    private struct Finding {
        let path: String
        let result: Result<Verification, any Error>

        var status: ExitStatus {
            switch result {
            case .success(let verification): verification.damage.isEmpty ? .done : .no
            case .failure(let error): ExitStatus(error.diagnostic.severity)
            }
        }

        var text: String {
            let name = path.escapingControlCharacters
            switch result {
            case .success(let verification): return "\(name): \(verification.text)\n"
            case .failure(let error):
                let message = error.diagnostic.message.escapingControlCharacters
                let rest = message.hasPrefix(name + " ") ? message.dropFirst(name.count + 1) : message[...]
                return "\(name): \(rest) [\(error.diagnostic.code)]\n"
            }
        }

        var json: JSONOutput {
            let document: JSONOutput = ["path": .string(path)]
            switch result {
            case .success(let verification): return document.adding(contentsOf: verification.json)
            case .failure(let error):
                return document.adding("ok", .bool(false))
                    .adding(contentsOf: DiagnosticRenderer.json(error.diagnostic))
            }
        }
    }

    private func verifyTree(in session: Session) throws -> ExitStatus {
        if fileExists(checkpoint), !folderExists(checkpoint) {
            throw UsageError("--recursive takes a folder, and \(checkpoint) is none")
        }
        let tree = try CheckpointTree(checkpoint)
        guard !tree.checkpoints.isEmpty || !tree.failures.isEmpty else {
            throw FormatError(
                .unknownFormat, "the folder \(checkpoint.string) and those below it hold no checkpoint",
                file: checkpoint,
                hint: "it has \(tree.otherFileCount) other files; hidden folders are not looked at")
        }
        var findings = tree.failures.map { Finding(path: $0.file ?? checkpoint.string, result: .failure($0)) }
        if !session.json { for finding in findings { try session.print(finding.text) } }
        for path in tree.checkpoints {
            let finding = Finding(
                path: path.string,
                result: Result { try verify(path, in: session) { session.warn($0.about("\(path)")) } })
            findings.append(finding)
            guard !session.json else { continue }
            // As it comes: a tree may take an hour.
            try session.print(finding.text)
            try session.flush()
        }
        if session.json {
            try session.print(
                [
                    "ok": .bool(findings.allSatisfy { $0.status == .done }),
                    "checkpoints": .array(findings.map(\.json)),
                    "other_files": .integer(tree.otherFileCount),
                ] as JSONOutput)
        } else {
            try session.print(summary(of: findings, tree))
        }
        return .highest(findings.map(\.status))
    }

    private func summary(of findings: [Finding], _ tree: CheckpointTree) -> String {
        let byteCount = findings.reduce(0) { $0 + ((try? $1.result.get())?.checkedByteCount ?? 0) }
        let sound = findings.count { $0.status == .done }
        let damaged = findings.count { $0.status == .no }
        let unread = findings.count - sound - damaged
        let count = findings.count
        return "\(count.grouped) \(count == 1 ? "checkpoint" : "checkpoints"), \(ByteSize(byteCount)) checked: "
            + "\(sound.grouped) ok, \(damaged.grouped) damaged, \(unread.grouped) in error; "
            + "\(tree.otherFileCount.grouped) other \(tree.otherFileCount == 1 ? "file" : "files")\n"
    }
}

extension Verification {
    fileprivate var json: JSONOutput {
        [
            "ok": .bool(damage.isEmpty),
            "checked_bytes": .integer(checkedByteCount),
            "damage": .array(damage.map(\.json)),
        ]
    }

    fileprivate var text: String {
        let checked = "\(ByteSize(checkedByteCount)) checked"
        let count = damage.count
        return count == 0 ? "ok, \(checked)" : "\(count) \(count == 1 ? "place" : "places") damaged, \(checked)"
    }
}

extension Damage {
    /// Damage that showed while a checkpoint was opened.
    fileprivate init(_ error: FormatError, in checkpoint: FilePath) {
        self.init(
            tensor: error.tensor.map { TensorName($0) }, file: error.file.map { FilePath($0) } ?? checkpoint,
            offset: error.byteOffset.flatMap { Int(exactly: $0) } ?? 0, byteCount: 0, reason: error.message)
    }
}
