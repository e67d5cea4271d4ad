import Checkpoints
import Glibc
import Merging
import ModelFolders
import Reporting
import SystemPackage
import TensorCore
import Work

extension MergeJob {
    /// What is one part's to write.
    public struct PartShare: Sendable {
        public let part: MergePart
        /// The part's shards, of all that the result has.
        public let shards: Range<Int>
        public let shardCount: Int
        public let tensorCount: Int
        /// Parameters of the merged tensors.
        public let parameterCount: Int
        /// Of the tensors, without the headers of the files.
        public let byteCount: Int
        /// Their places among the tensors of the result.
        fileprivate let tensors: Set<Int>
    }

    /// What the merge of one part has made.
    public struct PartOutcome: Sendable {
        public let share: PartShare
        public let report: MergeReport
        public let written: WrittenCheckpoint
        /// Whether an earlier process had left the part.
        public let wasDone: Bool
    }

    /// How the result is cut into files.
    ///
    /// - Throws: `usage.parts` when it goes into no folder; `FormatError` when the format cannot hold the tensors.
    private func shardLayout() throws -> (layout: ShardLayout, target: OutputTarget) {
        guard let target, target.isFolder, target.format == .safetensors else {
            throw OutputError(
                .parts, "only a merge into a folder of safetensors is cut into parts",
                hint: "end the output in a slash, as in --output merged/")
        }
        let file = target.path.appending("model.safetensors")
        return (try ShardLayout(plan.outputs, limit: target.options.shardByteCount, file: file), target)
    }

    /// What a part would write; makes sure that it can be merged, before any work.
    ///
    /// - Throws: `usage.parts` when there are more parts than shards.
    public func share(of part: MergePart) throws -> PartShare {
        let (layout, target) = try shardLayout()
        let count = layout.shards.count
        guard count >= part.count else {
            let size = target.options.shardByteCount.map { " of at most \(ByteSize($0))" } ?? ""
            throw OutputError(
                .parts,
                "the result has \(count) \(count == 1 ? "shard" : "shards")\(size), which do not make \(part.count) parts",
                hint: try shardSize(for: part.count, at: target).map { "--shard-size \($0) makes enough" }
                    ?? "there are only \(plan.outputs.count) tensors; make fewer parts")
        }
        let shards = part.shards(of: count)
        let tensors = Set(shards.flatMap { layout.shards[$0].tensors })
        return PartShare(
            part: part, shards: shards, shardCount: count, tensorCount: tensors.count,
            parameterCount: plan.parameterCount(of: tensors),
            byteCount: tensors.reduce(0) { $0 + plan.outputs[$1].byteCount }, tensors: tensors)
    }

    /// A size of shards that makes enough of them; nil when none does.
    private func shardSize(for count: Int, at target: OutputTarget) throws -> String? {
        var size = plan.summary.outputByteCount / count
        while size > 0 {
            if try ShardLayout(plan.outputs, limit: size, file: target.path).shards.count >= count { return "\(size)B" }
            size /= 2
        }
        return nil
    }

    /// The room that a part needs and its disk has.
    public func diskSpace(of share: PartShare) -> DiskSpace? {
        target.map { DiskSpace(needed: share.byteCount, at: $0.path) }
    }

    /// Merges the tensors of a part's shards, after surveying all that the method has to know, and leaves the shards in the folder
    /// under names that no reader takes for a model. Parts may be merged in any order, also at once.
    ///
    /// - Throws: as `share(of:)`, and as `run`.
    public func run(_ part: MergePart, in context: Context) throws -> PartOutcome {
        let share = try share(of: part)
        let (layout, target) = try shardLayout()
        let (folder, shards, tensors) = (target.path, share.shards, share.tensors)
        let fingerprint = try partFingerprint(count: part.count)
        let files = shards.map { layout.path(ofPart: $0, in: folder) }
        if !target.options.force, let record = Self.record(of: part, with: files, in: folder),
            record.fingerprint == fingerprint, record.isPossible(in: plan.outputs), record.damaged(files) == nil
        {
            let names = Set(tensors.map { plan.outputs[$0].name })
            let places = files.map(ShardLayout.place)
            return PartOutcome(
                share: share,
                report: plan.report(
                    of: record.findings.filter { names.contains($0.tensor) }, notFinite: record.notFinite),
                written: WrittenCheckpoint(files: places, byteCount: places.reduce(0) { $0 + fileByteCount($1) }),
                wasDone: true)
        }
        try target.check(folderNames, byteCount: share.byteCount)
        try makeFolder(folder)
        let withdrawn = try withdrawRecords(of: shards, layout, in: folder).filter { $0 != part }
        if !withdrawn.isEmpty {
            let names = withdrawn.map(\.description).joined(separator: ", ")
            context.warn(
                Warning(
                    RunWarning.partWithdrawn,
                    "shards of part \(names) of an earlier merge are made anew by part \(part); that merge cannot be joined"
                ))
        }
        let writer = try ShardPartWriter(
            shards, of: layout, in: folder, metadata: MergedFolder.metadata(metadata), sync: target.options.sync)
        let task = MergeTask(of: plan, into: writer, part: tensors)
        var report = try MergeTask.execute([task], with: context.progress)[0]
        let written = try writer.finish()
        try MergePartRecord(fingerprint, of: written, report)
            .write(of: part, in: folder, sync: target.options.sync)
        report.warnings = warnings + report.warnings
        return PartOutcome(share: share, report: report, written: written, wasDone: false)
    }

    /// The record that speaks for a part: its own, or that of the first part once a join has begun.
    private static func record(of part: MergePart, with files: [FilePath], in folder: FilePath) -> MergePartRecord? {
        [part, part.first].lazy.compactMap { MergePartRecord(of: $0, in: folder) }.first { $0.speaks(for: files) }
    }

    /// Removes what parts of an earlier merge, which may have been cut in another way, say of shards that are about to change.
    ///
    /// - Returns: the parts.
    private func withdrawRecords(
        of shards: Range<Int>, _ layout: ShardLayout, in folder: FilePath
    ) throws -> [MergePart] {
        let names = Set(shards.compactMap { layout.path(ofPart: $0, in: folder).lastComponent?.string })
        let withdrawn = try Self.parts(in: folder).filter { part in
            MergePartRecord(of: part, in: folder).map { !names.isDisjoint(with: $0.files.keys) } ?? true
        }
        for part in withdrawn { unlink(folder.appending(part.recordName).string) }
        return withdrawn
    }

    /// Makes sure that a join has its parts, before any work.
    ///
    /// - Throws: `usage.parts`, `merge.missing_part`, `merge.different_part`.
    public func checkParts() throws {
        let (layout, target) = try shardLayout()
        _ = try joinable(layout, in: target.path)
    }

    /// Makes the folder complete once all parts are there: what one process would have written, byte for byte.
    ///
    /// Killed at any moment, it leaves what the same join can be carried out with again.
    ///
    /// - Throws: `merge.missing_part`, `merge.different_part`; `io.exists` when there is another model and `write.force` is not set;
    ///   as `run`.
    public func join(in context: Context) throws -> Outcome {
        let (layout, target) = try shardLayout()
        let (first, record) = try joinable(layout, in: target.path)
        // The parts go away one after the other, and this record last.
        try record.write(of: first, in: target.path, sync: target.options.sync)
        let output = try MergedFolder(
            at: target, plan: plan, metadata: metadata, inputs: models, origins: origins, options: folder,
            budget: context.budget, joining: layout)
        return try output.named {
            var report = plan.report(of: record.findings, notFinite: record.notFinite)
            let (written, contents, remarks) = try output.finish(report)
            report.warnings = warnings + report.warnings + remarks
            return Outcome(report: report, written: written, folder: contents, place: .file(target.path))
        }
    }

    /// Makes sure that all parts are there and belong to this merge.
    ///
    /// - Returns: the first part, and what all tell, its findings in the order of the tensors.
    private func joinable(_ layout: ShardLayout, in folder: FilePath) throws -> (first: MergePart, MergePartRecord) {
        let parts = try Self.parts(in: folder)
        guard let first = parts.first?.first else {
            let isComplete = (try? TensorStore(opening: folder)) != nil
            throw MergeError(
                .missingPart,
                "there are no parts in \(folder.string)" + (isComplete ? ", which holds a whole model" : ""),
                hint: isComplete
                    ? "a join that was carried out leaves no parts; where the model is that of these arguments, nothing is left to do"
                    : "merge them first, with --part 1/N to --part N/N and the same arguments")
        }
        if let other = parts.first(where: { $0.count != first.count }) {
            throw MergeError(
                .differentPart, "\(folder.string) has parts of \(first.count) and parts of \(other.count)",
                hint: "merge the missing parts of one, or remove the files part-I-of-N.json of the other")
        }
        let record = MergePartRecord(joining: try records(of: parts, in: folder), in: plan.outputs)
        let files = first.all.map { part in
            (part, part.shards(of: layout.shards.count).map { layout.path(ofPart: $0, in: folder) })
        }
        for (part, files) in files where !record.speaks(for: files) { throw missing(part, "is not there") }
        for (part, files) in files {
            guard let file = record.damaged(files)?.lastComponent?.string else { continue }
            throw missing(part, "has lost its file \(file), or it was changed")
        }
        return (first, record)
    }

    /// The records of parts that belong to this merge.
    private func records(of parts: [MergePart], in folder: FilePath) throws -> [MergePartRecord] {
        guard let count = parts.first?.count else { return [] }
        let fingerprint = try partFingerprint(count: count)
        return try parts.map { part in
            guard let record = MergePartRecord(of: part, in: folder) else {
                throw missing(part, "has a damaged record")
            }
            guard record.fingerprint == fingerprint else {
                let differences = Self.texts(of: fingerprint.differences(since: record.fingerprint))
                let rest = differences.count > 3 ? ", and \(differences.count - 3) more" : ""
                throw MergeError(
                    .differentPart,
                    "part \(part) was merged otherwise: \(differences.prefix(3).joined(separator: ", "))\(rest)",
                    hint: "join with the arguments of the parts, or merge the part again")
            }
            guard record.isPossible(in: plan.outputs) else { throw missing(part, "has a damaged record") }
            return record
        }
    }

    private static func texts(of differences: [Fingerprint.Difference]) -> [String] {
        // Most options are settings as well, and those say what they change.
        let named = differences.count > 1 ? differences.filter { $0.name != optionsName } : differences
        return named.map { difference in
            difference.name.hasPrefix(stampPrefix)
                ? "\(difference.name) has another size or time of change" : difference.description
        }
    }

    private func missing(_ part: MergePart, _ what: String) -> MergeError {
        MergeError(
            .missingPart, "part \(part) \(what)", hint: "merge it with --part \(part) and the arguments of the others")
    }

    /// Everything that parts of one merge have in common.
    ///
    /// Inputs are known by size and time of change: their contents are not read, because every part would read them all.
    private func partFingerprint(count: Int) throws -> Fingerprint {
        let settings = try Fingerprint(Self.kind, settings: settings, inputs: [])
        var parts = settings.parts
        parts.append(Fingerprint.Part("parts", "\(count)"))
        if let size = target?.options.shardByteCount { parts.append(Fingerprint.Part("shard_size", "\(size)")) }
        parts.append(Fingerprint.Part("program", ToolVersion.program))
        if !folder.overrides.isEmpty {
            parts.append(Fingerprint.Part(Self.optionsName, folder.overrides.joined(separator: " ")))
        }
        for input in inputs where !input.files.isEmpty {
            let stamps = input.files.map { file in
                guard let status = FileStatus(of: file) else { return "nothing" }
                return "\(status.byteCount) bytes changed at \(status.modified.tv_sec).\(status.modified.tv_nsec)"
            }
            parts.append(Fingerprint.Part(Self.stampPrefix + input.role, stamps.joined(separator: ", ")))
        }
        return Fingerprint(kind: Self.kind, parts: parts)
    }

    private static let stampPrefix = "the file of "
    private static let optionsName = "options"

    /// The parts that have left a record.
    private static func parts(in folder: FilePath) throws -> [MergePart] {
        guard folderExists(folder) else { return [] }
        return try entries(of: folder).compactMap(MergePart.init(recordName:))
            .sorted { ($0.count, $0.number) < ($1.count, $1.number) }
    }
}
