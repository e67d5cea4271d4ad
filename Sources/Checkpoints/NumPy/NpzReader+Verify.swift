import Synchronization
import TensorCore

extension NpzReader {
    /// Sums every member, large stored ones in pieces, so that one of them keeps all threads busy.
    ///
    /// - Throws: as `CheckpointReader.verify`.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        let entries = members.map(\.entry) + others.filter { $0.method != nil }
        let pieces = entries.indices.flatMap { number in
            entries[number].pieces.map { (entry: number, range: $0) }
        }
        let sums = Mutex([UInt32](repeating: 0, count: pieces.count))
        let faults = Mutex([FormatError?](repeating: nil, count: entries.count))
        try parallel(count: pieces.count, threads: threads) { [self] number in
            let (place, range) = pieces[number]
            if entries[place].method == .stored {
                let sum = CRC32.of(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
                sums.withLock { $0[number] = sum }
            } else {
                do { try entries[place].checkContents(named: name(ofEntry: place), in: file) } catch let error
                    as FormatError
                { faults.withLock { $0[place] = error } }
            }
            progress(range.count)
        }
        var sumOfEntry = [UInt32](repeating: 0, count: entries.count)
        for (piece, sum) in zip(pieces, sums.withLock { $0 }) {
            sumOfEntry[piece.entry] = CRC32.combine(sumOfEntry[piece.entry], sum, count: piece.range.count)
        }
        var result = Verification(damage: losses)
        for (place, entry) in entries.enumerated() {
            let name = name(ofEntry: place)
            var fault = faults.withLock { $0[place] }
            if entry.method == .stored {
                do throws(FormatError) { try entry.check(sumOfEntry[place], named: name, in: file) } catch {
                    fault = error
                }
            }
            if let fault { result.damage.append(Damage(fault, of: entry, tensor: name, in: file)) }
            result.checkedByteCount += entry.data.count
        }
        return result
    }

    private func name(ofEntry place: Int) -> TensorName? { place < members.count ? members[place].name : nil }
}

extension Damage {
    init(_ error: FormatError, of entry: ZipEntry, tensor: TensorName?, in file: MappedFile) {
        self.init(
            tensor: tensor, file: file.path, offset: entry.data.lowerBound, byteCount: entry.data.count,
            reason: error.message)
    }
}
