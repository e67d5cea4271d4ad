import Checkpoints
import Reporting
import SystemPackage
import TensorCore

/// The note beside an output that says what it was made from: a later run that is about to do the same work, and finds the files
/// unharmed, takes it as done.
///
/// A JSON document at the name of the output's first file with `.signature` behind it. It has the digests of all files of the output,
/// so that it says nothing about one that was damaged, put in its place or taken away.
public struct WorkRecord: Sendable, Hashable {
    public let fingerprint: Fingerprint
    /// The digest of each file by its name.
    private let files: [String: String]

    /// The record of an output, if a run of a recipe has left one.
    ///
    /// - Parameter path: the output's file or folder.
    public init?(ofOutputAt path: FilePath) {
        guard let file = Self.firstFile(at: path), let document = JSONDocument.read(Self.path(for: file)),
            let fingerprint = Fingerprint(json: document), let files = document["files"]?.object
        else { return nil }
        self.fingerprint = fingerprint
        self.files = Dictionary(files.map { ($0.key, $0.value.string ?? "") }, uniquingKeysWith: { $1 })
    }

    /// Whether there is a note beside an output, whatever it says.
    public static func exists(at path: FilePath) -> Bool {
        guard let store = try? TensorStore(opening: path) else { return false }
        return store.reader.files.contains { fileExists(Self.path(for: $0)) }
    }

    /// Whether there is an output that this work has left, with everything that was written then.
    public static func isFinished(_ fingerprint: Fingerprint, at path: FilePath) -> Bool {
        guard let record = WorkRecord(ofOutputAt: path), record.fingerprint == fingerprint, !record.files.isEmpty,
            let folder = firstFile(at: path)?.removingLastComponent()
        else { return false }
        return record.files.allSatisfy { name, digest in
            (try? FileDigests.digest(of: folder.appending(name)).hexadecimal) == digest
        }
    }

    /// That an output stands where this work is to leave its own, and why it is not taken for that.
    package static func mismatch(_ fingerprint: Fingerprint, at path: FilePath) -> IOError {
        let hint = "use --force to make it again"
        guard let record = WorkRecord(ofOutputAt: path) else {
            return .exists(path, "exists already, and no record says what it was made from")
        }
        let differences = fingerprint.differences(since: record.fingerprint).map(\.description)
        guard !differences.isEmpty else { return .exists(path, "was changed since it was made", hint: hint) }
        let rest = differences.count > 3 ? ", and \(differences.count - 3) more" : ""
        return .exists(
            path, "was made with other settings or inputs: \(differences.prefix(3).joined(separator: ", "))\(rest)",
            hint: hint)
    }

    /// Options with which an output's record is there, complete, before the output is: a process that is killed in between leaves a
    /// record of nothing, and never an output that nobody knows.
    package static func sealing(_ options: WriteOptions, with fingerprint: Fingerprint) -> WriteOptions {
        var sealed = options
        sealed.willAppear = { (path, complete) throws(IOError) in
            let record = try WorkRecord(fingerprint, of: [path], at: [complete])
            // Where another process was faster, its record stays. One that is faster between here and the link, while a few
            // lines are written, has this record beside its output: that speaks of other contents, so the output is taken
            // for one of other work and replaced by force only. The other order would be worse: see above.
            try AtomicOutput.checkPlace(path, options: options)
            try record.write(beside: path, sync: options.sync)
        }
        return sealed
    }

    /// Remembers what finished files of an output were made from, beside the first of them.
    ///
    /// - Throws: `IOError` when a file cannot be read, or the note not be written.
    package static func write(_ fingerprint: Fingerprint, of files: [FilePath], sync: Bool) throws(IOError) {
        guard let first = files.first else { return }
        try WorkRecord(fingerprint, of: files, at: files).write(beside: first, sync: sync)
    }

    /// Reads finished files.
    ///
    /// - Parameter places: where the files are until they have their names.
    private init(_ fingerprint: Fingerprint, of files: [FilePath], at places: [FilePath]) throws(IOError) {
        self.fingerprint = fingerprint
        var digests: [String: String] = [:]
        for (file, place) in zip(files, places) {
            digests[file.lastComponent?.string ?? ""] = try FileDigests.digest(of: place).hexadecimal
        }
        self.files = digests
    }

    private func write(beside file: FilePath, sync: Bool) throws(IOError) {
        let document = fingerprint.json.adding(
            "files", .object(files.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) }))
        try AtomicOutput.write(
            Array((document.rendered() + "\n").utf8), to: Self.path(for: file),
            options: WriteOptions(force: true, sync: sync))
    }

    /// Removes what killed processes have left of an output's file and of the note beside it.
    public static func removeRemains(ofOutputAt path: FilePath) {
        for file in [path, Self.path(for: path)] { AtomicOutput.removeRemains(of: file) }
    }

    /// The first file of an output; nil where there is none.
    package static func firstFile(at path: FilePath) -> FilePath? {
        fileExists(path) ? (try? TensorStore(opening: path))?.reader.files.first : nil
    }

    /// Where the record of an output is whose first file is given.
    package static func path(for file: FilePath) -> FilePath { FilePath(file.string + ".signature") }
}
