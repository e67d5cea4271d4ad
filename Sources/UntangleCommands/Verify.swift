import ArgumentParser
import Checkpoints
import Reporting
import SystemPackage
import TensorCore
import Work

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

    @Argument(help: "A file, a *.index.json, a folder, or organisation/name[@revision] in the hub's cache.")
    var checkpoint: CheckpointSource

    @Flag(help: "skein: also decode everything and compare contents.")
    var deep = false

    @Flag(
        help: ArgumentHelp(
            "Check all checkpoints in a folder and below it. Links are followed, hidden folders and other files are not looked at."
        ))
    var recursive = false

    @OptionGroup var base: BaseOption
    @OptionGroup var input: InputOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        let path = try session.locate(checkpoint, subfolder: input.subfolder)
        if recursive { return try verifyTree(path, in: session, reports) }
        let finding = Finding(
            path: checkpoint.text, result: .success(try verify(path, in: session, warn: session.warn)))
        try session.print(finding.report, to: reports)
        return finding.status
    }

    private func verify(
        _ path: FilePath, in session: Session, warn: (Warning) -> Void
    ) throws -> Verification {
        session.reads(path)
        let base = try base.path(in: session, subfolder: input.subfolder)
        do {
            let reader = try CheckpointFormat.open(
                path, options: input.readOptions(base: base, threads: session.budget.threads))
            reader.warnings.forEach(warn)
            // Contents that cannot be worked out are not damaged.
            if deep { try (reader as? SkeinReader)?.requireBase() }
            return try session.verify(reader, deep: deep)
        } catch let error as FormatError where error.category.isDamage {
            // Damage in what had to be decoded to learn about the tensor at all.
            return Verification(damage: [Damage(error, in: path)])
        }
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

        var line: String {
            switch result {
            case .success(let verification): return "\(path): \(verification.text)"
            case .failure(let error):
                let message = error.diagnostic.message
                let rest = message.hasPrefix(path + " ") ? message.dropFirst(path.count + 1) : message[...]
                return "\(path): \(rest) [\(error.diagnostic.code)]"
            }
        }

        var report: Report {
            var facts = [Report.Fact("ok", .flag(status == .done))]
            var sections = [Report.Section.text([line])]
            switch result {
            case .success(let verification):
                facts.append(.init("checked_bytes", .integer(verification.checkedByteCount)))
                sections.insert(.table(verification.damage.table("damage")), at: 0)
            case .failure(let error):
                facts += DiagnosticRenderer.facts(error.diagnostic).map { fact in
                    .init("error.\(fact.column.key ?? "")", fact.value)
                }
            }
            return Report(title: path, sections: [.facts(facts), .group(sections)])
        }
    }

    private func verifyTree(_ root: FilePath, in session: Session, _ reports: [ReportTarget]) throws -> ExitStatus {
        if fileExists(root), !folderExists(root) {
            throw UsageError("--recursive takes a folder, and \(checkpoint.text) is none")
        }
        let tree = try CheckpointTree(root)
        guard !tree.checkpoints.isEmpty || !tree.failures.isEmpty else {
            throw FormatError(
                .unknownFormat, "the folder \(root.string) and those below it hold no checkpoint",
                file: root,
                hint: "it has \(tree.otherFileCount) other files; hidden folders are not looked at")
        }
        var findings = tree.failures.map { Finding(path: $0.file ?? root.string, result: .failure($0)) }
        for finding in findings { try show(finding, session) }
        for path in tree.checkpoints {
            let finding = Finding(
                path: path.string,
                result: Result { try verify(path, in: session) { session.warn($0.about("\(path)")) } })
            findings.append(finding)
            // As it comes: a tree may take an hour.
            try show(finding, session)
        }
        let summary = summary(of: findings, tree)
        try session.show(summary + "\n")
        try session.print(
            Report(
                title: checkpoint.text,
                sections: [
                    .facts([.init("ok", .flag(findings.allSatisfy { $0.status == .done }))]),
                    .reports(
                        "checkpoints",
                        findings.map { finding in
                            var report = finding.report
                            report.provenance = [.init("path", .text(finding.path))]
                            return report
                        }),
                    .facts([.init("other_files", .integer(tree.otherFileCount))]),
                    .text([summary]),
                ]), to: reports, isShown: true)
        return .highest(findings.map(\.status))
    }

    private func show(_ finding: Finding, _ session: Session) throws {
        try session.show(finding.line.escapingControlCharacters + "\n")
    }

    private func summary(of findings: [Finding], _ tree: CheckpointTree) -> String {
        let byteCount = findings.reduce(0) { $0 + ((try? $1.result.get())?.checkedByteCount ?? 0) }
        let sound = findings.count { $0.status == .done }
        let damaged = findings.count { $0.status == .no }
        let unread = findings.count - sound - damaged
        let count = findings.count
        return "\(count.grouped) \(count == 1 ? "checkpoint" : "checkpoints"), \(ByteSize(byteCount)) checked: "
            + "\(sound.grouped) ok, \(damaged.grouped) damaged, \(unread.grouped) in error; "
            + "\(tree.otherFileCount.grouped) other \(tree.otherFileCount == 1 ? "file" : "files")"
    }
}

extension Verification {
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
