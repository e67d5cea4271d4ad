import TensorCore

extension TorchReader {
    /// Sums every member of an archive; reads a file through that has no checksums, such as a legacy one.
    ///
    /// - Throws: as `CheckpointReader.verify`.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        members.isEmpty
            ? try scan(threads: threads, progress: progress)
            : try verifyArchive(threads: threads, progress: progress)
    }

    private func verifyArchive(threads: Int, progress: @escaping @Sendable (Int) -> Void) throws -> Verification {
        var tensors: [Int: [TensorName]] = [:]
        for view in views { tensors[view.record.data.lowerBound, default: []].append(view.descriptor.name) }
        let entries = members.filter { $0.method != nil }
        // An empty record may begin where the next one does, and has nothing to damage.
        let namesOfEntry = entries.map { $0.byteCount > 0 ? tensors[$0.data.lowerBound] ?? [] : [] }
        let faults = try ZipChecksums.faults(
            of: entries, named: namesOfEntry.map(\.first), in: file, threads: threads, progress: progress)
        var result = Verification(damage: damage)
        for (place, entry) in entries.enumerated() {
            result.checkedByteCount += entry.data.count
            guard let fault = faults[place] else { continue }
            let names = namesOfEntry[place].isEmpty ? [nil] : namesOfEntry[place].map(Optional.some)
            result.damage += names.map { Damage(fault, of: entry, tensor: $0, in: file) }
        }
        return result
    }

    private func scan(threads: Int, progress: @escaping @Sendable (Int) -> Void) throws -> Verification {
        var result = Verification(checkedByteCount: file.byteCount, damage: damage)
        for fault in try FileScan.faults(of: path, byteCount: file.byteCount, threads: threads, progress: progress) {
            result.checkedByteCount -= fault.range.count
            let hit = views.indices.filter { views[$0].location.overlaps(fault.range) }
            let names = hit.isEmpty ? [nil] : hit.map { Optional(descriptors[$0].name) }
            result.damage += names.map {
                Damage(
                    tensor: $0, file: path, offset: fault.range.lowerBound, byteCount: fault.range.count,
                    reason: fault.reason)
            }
        }
        return result
    }
}
