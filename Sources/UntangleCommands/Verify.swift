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

            Example:
              untangle verify Fixtures/suites/tiny/test_digits.npz
            """)

    @Argument(help: "A file, a *.index.json, or a folder.")
    var checkpoint: FilePath

    @Flag(help: "skein: also decode everything and compare contents.")
    var deep = false

    @OptionGroup var base: BaseOption
    @OptionGroup var input: InputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        let verification: Verification
        do {
            let reader = try CheckpointFormat.open(
                checkpoint, options: input.readOptions(base: base.base, threads: session.budget.threads))
            reader.warnings.forEach(session.warn)
            // Contents that cannot be worked out are not damaged.
            if deep { try (reader as? SkeinReader)?.requireBase() }
            verification = try session.verify(reader, deep: deep)
        } catch let error as FormatError where error.category.isDamage {
            // Damage in what had to be decoded to learn about the tensor at all.
            verification = Verification(damage: [Damage(error, in: checkpoint)])
        }
        if session.json {
            try session.print(json(of: verification))
        } else {
            try session.print(text(of: verification))
        }
        return verification.damage.isEmpty ? .done : .no
    }

    private func json(of verification: Verification) -> JSONOutput {
        [
            "ok": .bool(verification.damage.isEmpty),
            "checked_bytes": .integer(verification.checkedByteCount),
            "damage": .array(verification.damage.map(\.json)),
        ]
    }

    private func text(of verification: Verification) -> String {
        let checked = "\(ByteSize(verification.checkedByteCount)) checked"
        let name = checkpoint.string.escapingControlCharacters
        guard !verification.damage.isEmpty else { return "\(name): ok, \(checked)\n" }
        let count = verification.damage.count
        return Damage.table(verification.damage).rendered()
            + "\(name): \(count) \(count == 1 ? "place" : "places") damaged, \(checked)\n"
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
