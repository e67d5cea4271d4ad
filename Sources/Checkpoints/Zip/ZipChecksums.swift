import Synchronization
import TensorCore

/// Reads members of an archive through and compares their checksums.
enum ZipChecksums {
    /// Sums members on several threads, large stored ones in pieces, so that one of them keeps all threads busy.
    ///
    /// - Parameters:
    ///   - names: what each member is called in errors; nil for one that is no tensor.
    ///   - progress: receives the bytes checked since the last call, from any thread.
    /// - Returns: what is wrong with each member.
    /// - Throws: `IOError` when there is no memory.
    static func faults(
        of entries: [ZipEntry], named names: [TensorName?], in file: MappedFile, threads: Int,
        progress: @escaping @Sendable (Int) -> Void
    ) throws -> [FormatError?] {
        let pieces = entries.indices.flatMap { number in
            entries[number].pieces.map { (entry: number, range: $0) }
        }
        let sums = Mutex([UInt32](repeating: 0, count: pieces.count))
        let found = Mutex([FormatError?](repeating: nil, count: entries.count))
        try parallel(count: pieces.count, threads: threads) { number in
            let (place, range) = pieces[number]
            if entries[place].method == .stored {
                let sum = CRC32.of(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
                sums.withLock { $0[number] = sum }
            } else {
                do { try entries[place].checkContents(named: names[place], in: file) } catch let error as FormatError {
                    found.withLock { $0[place] = error }
                }
            }
            progress(range.count)
        }
        var sumOfEntry = [UInt32](repeating: 0, count: entries.count)
        for (piece, sum) in zip(pieces, sums.withLock { $0 }) {
            sumOfEntry[piece.entry] = CRC32.combine(sumOfEntry[piece.entry], sum, count: piece.range.count)
        }
        var faults = found.withLock { $0 }
        for (place, entry) in entries.enumerated() where entry.method == .stored {
            do throws(FormatError) { try entry.check(sumOfEntry[place], named: names[place], in: file) } catch {
                faults[place] = error
            }
        }
        return faults
    }
}

extension Damage {
    init(_ error: FormatError, of entry: ZipEntry, tensor: TensorName?, in file: MappedFile) {
        self.init(
            tensor: tensor, file: file.path, offset: entry.data.lowerBound, byteCount: entry.data.count,
            reason: error.message)
    }

    /// Bytes that follow an archive.
    init(behindArchive rest: Range<Int>, in file: MappedFile) {
        self.init(
            tensor: nil, file: file.path, offset: rest.lowerBound, byteCount: rest.count,
            reason: "\(rest.count) bytes follow the end of the zip archive")
    }
}
