import SystemPackage

/// Where the directory of a zip file lies, from the end record and its zip64 companion.
struct EndOfDirectory {
    let directory: Range<Int>
    let entryCount: Int
    /// What follows the archive, which a file is salvaged without.
    var rest: Range<Int>?

    /// How far before the end of a file an archive may end that something was appended to.
    private static let maximumRestByteCount = 1 << 24

    /// The end record lies within its own size plus the longest comment of the end of the file.
    private static let searchByteCount = ZipSize.endRecord + 0xFFFF

    /// Finds and checks the end records.
    ///
    /// - Parameter salvaging: whether an archive that other bytes follow is read without them.
    /// - Throws: `FormatError` with `truncated`, `trailing_bytes`, `bad_magic`, `zip_structure` or `overflow`.
    init(of file: UnsafeRawBufferPointer, path: FilePath, salvaging: Bool = false) throws(FormatError) {
        let bytes = ZipBytes(file)
        guard let end = Self.findEndRecord(in: bytes, byteCount: file.count) else {
            guard let archiveEnd = Self.findEarlierEnd(in: bytes, byteCount: file.count) else {
                throw Self.missingEndRecord(file, path)
            }
            guard salvaging else {
                throw FormatError(
                    .trailingBytes,
                    "the zip archive ends at byte \(archiveEnd) but \(file.count - archiveEnd) bytes follow",
                    file: path,
                    byteOffset: archiveEnd,
                    hint: "`untangle convert \(path.string) OUTPUT --salvage` writes the tensors without them")
            }
            self = try Self(of: UnsafeRawBufferPointer(rebasing: file[..<archiveEnd]), path: path)
            rest = archiveEnd..<file.count
            return
        }
        let plain = Fields(
            disk: UInt32(bytes.u16(end + 4)), startDisk: UInt32(bytes.u16(end + 6)),
            diskEntryCount: UInt64(bytes.u16(end + 8)), entryCount: UInt64(bytes.u16(end + 10)),
            byteCount: UInt64(bytes.u32(end + 12)), offset: UInt64(bytes.u32(end + 16)))
        let record = try Self.zip64Record(plain, end: end, bytes, path)
        let fields = record?.fields ?? plain
        let directoryEnd = record?.offset ?? end

        guard fields.disk == 0, fields.startDisk == 0, fields.diskEntryCount == fields.entryCount else {
            throw FormatError(.zipStructure, "the archive is split over several disks", file: path, byteOffset: end)
        }
        guard let offset = Int(exactly: fields.offset), let byteCount = Int(exactly: fields.byteCount),
            let count = Int(exactly: fields.entryCount)
        else {
            throw FormatError(
                .overflow, "the zip64 end record holds a number of 2^63 or more", file: path, byteOffset: directoryEnd)
        }
        let (stop, overflow) = offset.addingReportingOverflow(byteCount)
        guard !overflow, stop == directoryEnd else {
            throw FormatError(
                .zipStructure,
                "the zip directory is said to take \(byteCount) bytes from byte \(offset), but its end record is at byte "
                    + "\(directoryEnd)", file: path, byteOffset: end)
        }
        guard count <= CentralDirectory.maximumEntryCount else {
            throw FormatError(
                .zipStructure,
                "the archive says it has \(count) members; at most \(CentralDirectory.maximumEntryCount) are read",
                file: path,
                byteOffset: end)
        }
        guard count <= byteCount / ZipSize.directoryHeader else {
            throw FormatError(
                .zipStructure,
                "the archive says it has \(count) members, more than a directory of \(byteCount) bytes can hold",
                file: path, byteOffset: end)
        }
        directory = offset..<stop
        entryCount = count
    }

    /// The last end record whose comment reaches exactly to the end of the file: a comment may contain the signature.
    private static func findEndRecord(in bytes: ZipBytes, byteCount: Int) -> Int? {
        var position = byteCount - ZipSize.endRecord
        let first = max(0, byteCount - searchByteCount)
        while position >= first {
            if bytes.u32(position) == ZipSignature.endRecord,
                position + ZipSize.endRecord + Int(bytes.u16(position + 20)) == byteCount
            {
                return position
            }
            position -= 1
        }
        return nil
    }

    /// The end of the last archive that ends before the file does: there, too, an end record stands behind its directory.
    private static func findEarlierEnd(in bytes: ZipBytes, byteCount: Int) -> Int? {
        var position = byteCount - ZipSize.endRecord - 1
        let first = max(0, byteCount - maximumRestByteCount)
        while position >= first {
            defer { position -= 1 }
            guard bytes.u32(position) == ZipSignature.endRecord else { continue }
            let end = position + ZipSize.endRecord + Int(bytes.u16(position + 20))
            let directoryEnd = UInt64(bytes.u32(position + 12)) + UInt64(bytes.u32(position + 16))
            let locator = position - ZipSize.zip64Locator
            if end < byteCount,
                directoryEnd == UInt64(position) || locator >= 0 && bytes.u32(locator) == ZipSignature.zip64Locator
            {
                return end
            }
        }
        return nil
    }

    private static func missingEndRecord(_ file: UnsafeRawBufferPointer, _ path: FilePath) -> FormatError {
        if file.isEmpty { return FormatError(.truncated, "the file is empty", file: path, byteOffset: 0) }
        guard file.starts(with: [0x50, 0x4B]) else {
            return FormatError(
                .badMagic, "the file is not a zip archive, which .npz files are", file: path, byteOffset: 0)
        }
        return FormatError(
            .zipStructure, "the zip end record is missing from the end of a file of \(file.count) bytes", file: path,
            byteOffset: file.count, hint: "the file is probably cut short; compare its size with the source")
    }

    private struct Fields {
        var disk, startDisk: UInt32
        var diskEntryCount, entryCount, byteCount, offset: UInt64

        /// Whether a field is all ones, which sends the reader to the zip64 record.
        var isSaturated: Bool {
            disk == 0xFFFF || startDisk == 0xFFFF || diskEntryCount == 0xFFFF || entryCount == 0xFFFF
                || byteCount == 0xFFFF_FFFF || offset == 0xFFFF_FFFF
        }

        /// Whether every field that is not saturated holds what the wide record holds.
        func agrees(with wide: Self) -> Bool {
            (disk == 0xFFFF || disk == wide.disk) && (startDisk == 0xFFFF || startDisk == wide.startDisk)
                && (diskEntryCount == 0xFFFF || diskEntryCount == wide.diskEntryCount)
                && (entryCount == 0xFFFF || entryCount == wide.entryCount)
                && (byteCount == 0xFFFF_FFFF || byteCount == wide.byteCount)
                && (offset == 0xFFFF_FFFF || offset == wide.offset)
        }
    }

    /// The zip64 end record, when the end record is saturated or does not close the directory itself.
    private static func zip64Record(
        _ plain: Fields, end: Int, _ bytes: ZipBytes, _ path: FilePath
    ) throws(FormatError) -> (fields: Fields, offset: Int)? {
        let locator = end - ZipSize.zip64Locator
        guard plain.isSaturated || plain.offset + plain.byteCount != UInt64(end) else { return nil }
        // 65,535 members or a directory of 4 GiB - 1 are also plain numbers, when no locator says otherwise.
        guard locator >= 0, bytes.u32(locator) == ZipSignature.zip64Locator else { return nil }
        let claimed = bytes.u64(locator + 8)
        guard bytes.u32(locator + 4) == 0, let offset = Int(exactly: claimed),
            offset <= locator - ZipSize.zip64EndRecord,
            bytes.u32(offset) == ZipSignature.zip64EndRecord
        else {
            throw FormatError(
                .zipStructure, "the zip64 locator points to byte \(claimed), where there is no zip64 end record",
                file: path,
                byteOffset: locator)
        }
        let size = bytes.u64(offset + 4)
        guard size == UInt64(locator - offset - 12) else {
            throw FormatError(
                .zipStructure,
                "the zip64 end record says it has \(size) bytes but \(locator - offset - 12) lie before its locator",
                file: path, byteOffset: offset)
        }
        let wide = Fields(
            disk: bytes.u32(offset + 16), startDisk: bytes.u32(offset + 20), diskEntryCount: bytes.u64(offset + 24),
            entryCount: bytes.u64(offset + 32), byteCount: bytes.u64(offset + 40), offset: bytes.u64(offset + 48))
        guard plain.agrees(with: wide) else {
            throw FormatError(
                .zipStructure, "the zip64 end record contradicts the end record", file: path, byteOffset: offset)
        }
        return (wide, offset)
    }
}
