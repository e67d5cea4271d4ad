import TensorCore

extension NpzReader {
    /// Sums every member, large stored ones in pieces, so that one of them keeps all threads busy.
    ///
    /// - Throws: as `CheckpointReader.verify`.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        let others = others.filter { $0.method != nil }
        let entries = members.map(\.entry) + others
        let names = members.map { Optional($0.name) } + others.map { _ in nil }
        let faults = try ZipChecksums.faults(
            of: entries, named: names, in: file, threads: threads, progress: progress)
        var result = Verification(damage: losses)
        for (place, entry) in entries.enumerated() {
            if let fault = faults[place] {
                result.damage.append(Damage(fault, of: entry, tensor: names[place], in: file))
            }
            result.checkedByteCount += entry.data.count
        }
        return result
    }
}
