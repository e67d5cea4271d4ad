import Checkpoints
import Kernels
import Merging
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Work

/// What a finished part of a merge tells of itself, so that parts of different merges are never joined: `part-3-of-8.json` beside
/// its shards. A join that begins makes the record of the first part speak for all.
struct MergePartRecord {
    let fingerprint: Fingerprint
    /// The hash of each file by its name.
    let files: [String: String]
    let findings: [TensorFinding]
    /// Tensors of the models that hold NaN or infinities.
    let notFinite: [NonFiniteTensor]

    /// Tells what several parts of one merge tell, findings in the order of its tensors.
    ///
    /// - Precondition: there is a record, and all have one fingerprint.
    init(joining records: [MergePartRecord], in tensors: [TensorDescriptor]) {
        fingerprint = records[0].fingerprint
        files = records.reduce(into: [:]) { $0.merge($1.files) { $1 } }
        // A record that speaks for others has their findings as well.
        let found = Dictionary(records.flatMap(\.findings).map { ($0.tensor, $0) }, uniquingKeysWith: { $1 })
        findings = tensors.compactMap { found[$0.name] }
        // A layer may be in several parts.
        let order = Dictionary(
            tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        var seen: Set<NonFiniteTensor> = []
        notFinite = records.flatMap(\.notFinite).filter { seen.insert($0).inserted }.enumerated()
            .map { (place: order[$1.tensor] ?? .max, number: $0, tensor: $1) }
            .sorted { ($0.place, $0.number) < ($1.place, $1.number) }.map(\.tensor)
    }

    init(_ fingerprint: Fingerprint, of written: WrittenCheckpoint, _ report: MergeReport) throws {
        self.fingerprint = fingerprint
        let hashes = try written.files.map { (Self.name(of: $0), try ContentHash(ofFile: $0).description) }
        files = Dictionary(hashes, uniquingKeysWith: { $1 })
        findings = report.findings
        notFinite = report.notFinite
    }

    /// Reads the record of a part; nil when there is none, or one that cannot be read.
    init?(of part: MergePart, in folder: FilePath) {
        guard let document = JSONDocument.read(folder.appending(part.recordName)),
            let fingerprint = Fingerprint(json: document), let files = document["files"]?.object,
            let findings = document["findings"]?.array,
            let notFinite = document["not_finite"]?.array
        else { return nil }
        self.fingerprint = fingerprint
        self.files = Dictionary(files.map { ($0.key, $0.value.string ?? "") }, uniquingKeysWith: { $1 })
        self.findings = findings.map {
            TensorFinding(
                tensor: TensorName($0["tensor"]?.string ?? ""),
                losses: CastLosses(
                    overflowCount: $0["overflows"]?.int ?? -1, underflowCount: $0["underflows"]?.int ?? -1),
                nanCount: $0["nan"]?.int ?? -1, infinityCount: $0["inf"]?.int ?? -1)
        }
        self.notFinite = notFinite.map {
            NonFiniteTensor(
                model: $0["model"]?.string ?? "", file: $0["file"]?.string ?? "",
                tensor: TensorName($0["tensor"]?.string ?? ""),
                count: NonFiniteCount(nan: $0["nan"]?.int ?? 0, infinite: $0["inf"]?.int ?? 0))
        }
    }

    /// Whether what was counted can be so in the tensors of a merge: an edited record could say anything.
    func isPossible(in tensors: [TensorDescriptor]) -> Bool {
        let counts = Dictionary(tensors.map { ($0.name, $0.elementCount) }, uniquingKeysWith: { first, _ in first })
        var seen: Set<TensorName> = []
        return findings.allSatisfy { finding in
            guard let count = counts[finding.tensor], seen.insert(finding.tensor).inserted else { return false }
            return [
                finding.losses.overflowCount, finding.losses.underflowCount, finding.nanCount, finding.infinityCount,
            ].allSatisfy((0...count).contains)
        }
    }

    func write(of part: MergePart, in folder: FilePath, sync: Bool) throws {
        let document = fingerprint.json.adding(contentsOf: [
            "files": .object(files.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) }),
            "findings": .array(
                findings.map {
                    [
                        "tensor": .string($0.tensor.text), "overflows": .integer($0.losses.overflowCount),
                        "underflows": .integer($0.losses.underflowCount), "nan": .integer($0.nanCount),
                        "inf": .integer($0.infinityCount),
                    ]
                }),
            "not_finite": .array(
                notFinite.map {
                    [
                        "model": .string($0.model), "file": .string($0.file), "tensor": .string($0.tensor.text),
                        "nan": .integer($0.count.nan), "inf": .integer($0.count.infinite),
                    ]
                }),
        ])
        try AtomicOutput.write(
            Array((document.rendered() + "\n").utf8), to: folder.appending(part.recordName),
            options: WriteOptions(force: true, sync: sync))
    }

    /// Whether files are among those that it tells of.
    func speaks(for files: [FilePath]) -> Bool { files.allSatisfy { self.files[Self.name(of: $0)] != nil } }

    /// The first of some files that is not as it was left.
    func damaged(_ files: [FilePath]) -> FilePath? {
        files.first { file in
            (try? ContentHash(ofFile: ShardLayout.place(ofPart: file)))?.description != self.files[Self.name(of: file)]
        }
    }

    private static func name(of file: FilePath) -> String { file.lastComponent?.string ?? "" }
}
