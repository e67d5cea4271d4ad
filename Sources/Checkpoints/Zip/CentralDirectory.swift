import SystemPackage
import TensorCore

/// The members of a zip file, from its directory only; local headers are checked against it.
///
/// Members that another reader could see differently (two names, overlapping ranges, a name or method that differs between the
/// two headers) are refused, so that what was checked here is what any tool would load.
package struct CentralDirectory: Sendable {
    /// In the order of the directory, folders left out.
    package let entries: [ZipEntry]
    /// What follows the archive that is salvaged without it.
    let rest: Range<Int>?

    package static let maximumEntryCount = 1_000_000

    /// Deflate codes at most 258 bytes in two bits.
    static let maximumExpansion = 1032

    /// Reads and checks the directory; the data of members is not touched.
    ///
    /// - Parameter salvaging: whether an archive that other bytes follow is read without them.
    /// - Throws: `FormatError` with the offset of the first rule that is broken.
    package init(of file: UnsafeRawBufferPointer, path: FilePath, salvaging: Bool = false) throws(FormatError) {
        let bytes = ZipBytes(file)
        let end = try EndOfDirectory(of: file, path: path, salvaging: salvaging)
        rest = end.rest
        var entries: [ZipEntry] = []
        var extents: [Range<Int>] = []
        var position = end.directory.lowerBound
        for _ in 0..<end.entryCount {
            let header = try DirectoryHeader(at: position, before: end.directory.upperBound, in: bytes, path: path)
            position = header.range.upperBound
            let entry = try Self.locate(header, in: bytes, path: path)
            extents.append(entry.extent)
            if !header.isFolder { entries.append(entry) }
        }
        guard position == end.directory.upperBound else {
            throw FormatError(
                .zipStructure,
                "the zip directory has \(end.directory.upperBound - position) bytes behind the \(end.entryCount) members that its "
                    + "end record counts", file: path, byteOffset: position)
        }
        try Self.checkDisjoint(extents, directoryStart: end.directory.lowerBound, path: path)
        self.entries = entries
    }

    /// The names of the first members, as far as they can be read; without a directory, that of the local header at the start.
    static func names(in file: UnsafeRawBufferPointer, atMost limit: Int) -> [String] {
        let bytes = ZipBytes(file)
        let path = FilePath()
        guard let end = try? EndOfDirectory(of: file, path: path, salvaging: true) else {
            guard file.count >= ZipSize.localHeader, bytes.u32(0) == ZipSignature.localHeader else { return [] }
            return [String(decoding: file.dropFirst(ZipSize.localHeader).prefix(Int(bytes.u16(26))), as: UTF8.self)]
        }
        var names: [String] = []
        var position = end.directory.lowerBound
        while names.count < min(limit, end.entryCount),
            let header = try? DirectoryHeader(at: position, before: end.directory.upperBound, in: bytes, path: path)
        {
            names.append(header.name)
            position = header.range.upperBound
        }
        return names
    }

    /// Checks a directory header against the local header that it points to.
    private static func locate(
        _ header: DirectoryHeader, in bytes: ZipBytes, path: FilePath
    ) throws(FormatError) -> ZipEntry {
        let label = "\"\(header.name.escapingControlCharacters)\""
        if header.isSymbolicLink {
            throw FormatError(
                .badMember, "member \(label) is a symbolic link", file: path, byteOffset: header.range.lowerBound)
        }
        if header.isFolder, header.byteCount > 0 {
            throw FormatError(
                .badMember, "member \(label) is named as a folder but holds \(header.byteCount) bytes", file: path,
                byteOffset: header.range.lowerBound)
        }
        let start = header.localHeaderOffset
        let fileEnd = bytes.bytes.count
        guard start <= fileEnd - ZipSize.localHeader, bytes.u32(start) == ZipSignature.localHeader else {
            throw FormatError(
                .zipStructure, "member \(label) is said to begin at byte \(start), where there is no local header",
                file: path,
                byteOffset: header.range.lowerBound)
        }
        let nameStart = start + ZipSize.localHeader
        let nameEnd = nameStart + Int(bytes.u16(start + 26))
        let dataStart = nameEnd + Int(bytes.u16(start + 28))
        let (dataEnd, overflow) = dataStart.addingReportingOverflow(header.compressedByteCount)
        guard !overflow, dataEnd <= fileEnd else {
            throw FormatError(
                .zipStructure,
                "member \(label) takes \(header.compressedByteCount) bytes from byte \(dataStart), but the file has "
                    + "\(fileEnd)", file: path, byteOffset: start)
        }
        try checkAgreement(header, localHeader: start, name: nameStart..<nameEnd, data: dataStart, bytes, label, path)
        if let method = ZipMethod(rawValue: header.method) { try checkSizes(header, method, label, path) }
        return ZipEntry(
            name: header.name, methodNumber: header.method, crc32: header.crc32, byteCount: header.byteCount,
            data: dataStart..<dataEnd,
            localHeaderOffset: start)
    }

    /// Name, method, sum and sizes of both headers must be the same.
    private static func checkAgreement(
        _ header: DirectoryHeader, localHeader start: Int, name: Range<Int>, data: Int, _ bytes: ZipBytes,
        _ label: String,
        _ path: FilePath
    ) throws(FormatError) {
        func mismatch(_ what: String) -> FormatError {
            FormatError(
                .headerMismatch, "the local header of member \(label) has another \(what) than the zip directory",
                file: path,
                byteOffset: start)
        }
        guard bytes.slice(name).elementsEqual(header.nameBytes) else { throw mismatch("name") }
        // A method that is not read is refused when the member is wanted.
        guard bytes.u16(start + 8) == header.method || ZipMethod(rawValue: header.method) == nil else {
            throw mismatch("compression method")
        }
        let flags = bytes.u16(start + 6)
        guard flags & ZipFlags.encrypted == 0 else { throw mismatch("encryption flag") }
        if flags & ZipFlags.dataDescriptor != 0 { return }
        guard bytes.u32(start + 14) == header.crc32 else { throw mismatch("checksum") }
        let wide = try? ZipBytes.extraField(zip64ExtraID, in: bytes.slice(name.upperBound..<data))
        func local(_ narrow: UInt32, wideAt position: Int) -> UInt64 {
            guard narrow == 0xFFFF_FFFF, let wide, wide.count >= position + 8 else { return UInt64(narrow) }
            return ZipBytes(wide).u64(position)
        }
        // The local zip64 field always holds both sizes.
        guard local(bytes.u32(start + 22), wideAt: 0) == UInt64(header.byteCount),
            local(bytes.u32(start + 18), wideAt: 8) == UInt64(header.compressedByteCount)
        else { throw mismatch("size") }
    }

    /// Sizes that no data could have.
    private static func checkSizes(
        _ header: DirectoryHeader, _ method: ZipMethod, _ label: String, _ path: FilePath
    ) throws(FormatError) {
        let stored = header.compressedByteCount
        switch method {
        case .stored where stored != header.byteCount:
            throw FormatError(
                .sizeMismatch, "member \(label) is stored in \(stored) bytes but is said to have \(header.byteCount)",
                file: path,
                byteOffset: header.range.lowerBound)
        case .deflated where header.byteCount / maximumExpansion > stored:
            throw FormatError(
                .sizeMismatch,
                "member \(label) is said to unpack to \(header.byteCount) bytes, more than \(stored) bytes of deflate can hold",
                file: path, byteOffset: header.range.lowerBound)
        default: break
        }
    }

    /// No two members may share bytes, nor may one reach into the directory.
    private static func checkDisjoint(
        _ extents: [Range<Int>], directoryStart: Int, path: FilePath
    ) throws(FormatError) {
        let sorted = extents.sorted { $0.lowerBound < $1.lowerBound }
        for (index, extent) in sorted.enumerated() {
            let limit = index + 1 < sorted.count ? sorted[index + 1].lowerBound : directoryStart
            guard extent.upperBound <= limit else {
                throw FormatError(
                    .overlappingMembers,
                    "the member at byte \(extent.lowerBound) ends at byte \(extent.upperBound), beyond the start of "
                        + "\(index + 1 < sorted.count ? "the next member" : "the zip directory") at byte \(limit)",
                    file: path,
                    byteOffset: extent.lowerBound)
            }
        }
    }
}
