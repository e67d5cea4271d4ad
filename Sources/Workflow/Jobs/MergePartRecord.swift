import Checkpoints
import Merging
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Work

/// What a finished part of a merge tells of itself, so that parts of different merges are never joined: `part-3-of-8.json` beside
/// its shards.
struct MergePartRecord {
    let fingerprint: Fingerprint
    /// The hash of each file by its name.
    let files: [String: String]
    let findings: [TensorFinding]

    init(_ fingerprint: Fingerprint, of written: WrittenCheckpoint, findings: [TensorFinding]) throws {
        self.fingerprint = fingerprint
        let hashes = try written.files.map { ($0.lastComponent?.string ?? "", try ContentHash(ofFile: $0).description) }
        files = Dictionary(hashes, uniquingKeysWith: { $1 })
        self.findings = findings
    }

    /// Reads the record of a part; nil when there is none, or one that cannot be read.
    init?(of part: MergePart, in folder: FilePath) {
        guard let document = JSONDocument.read(folder.appending(part.recordName)),
            let fingerprint = Fingerprint(json: document), let files = document["files"]?.object,
            let findings = document["findings"]?.array
        else { return nil }
        self.fingerprint = fingerprint
        self.files = Dictionary(files.map { ($0.key, $0.value.string ?? "") }, uniquingKeysWith: { $1 })
        self.findings = findings.map {
            TensorFinding(
                tensor: TensorName($0["tensor"]?.string ?? ""), overflowCount: $0["overflows"]?.int ?? 0,
                nanCount: $0["nan"]?.int ?? 0, infinityCount: $0["inf"]?.int ?? 0)
        }
    }

    func write(of part: MergePart, in folder: FilePath, sync: Bool) throws {
        let document = fingerprint.json.adding(contentsOf: [
            "files": .object(files.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) }),
            "findings": .array(
                findings.map {
                    [
                        "tensor": .string($0.tensor.text), "overflows": .integer($0.overflowCount),
                        "nan": .integer($0.nanCount), "inf": .integer($0.infinityCount),
                    ]
                }),
        ])
        try AtomicOutput.write(
            Array((document.rendered() + "\n").utf8), to: folder.appending(part.recordName),
            options: WriteOptions(force: true, sync: sync))
    }

    /// A file of the part that is not as the part left it.
    func damagedFile(in folder: FilePath) -> String? {
        files.sorted { $0.key < $1.key }.first { name, hash in
            (try? ContentHash(ofFile: folder.appending(name)))?.description != hash
        }?.key
    }
}
