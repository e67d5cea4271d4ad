import Synchronization
public import SystemPackage
public import TensorCore

/// Writes a .npz file: a stored zip archive of .npy members that NumPy loads and any tool can map.
///
/// Every member, and so the data behind its header of a multiple of 64 bytes, starts at a multiple of 64. All positions follow
/// from the declaration; checksums of pieces are joined at the end. The same tensors give the same bytes.
public final class NpzWriter: CheckpointWriter {
    private let output: AtomicOutput
    private let members: [Member]
    private let directoryOffset: Int
    private let pieces: Mutex<[ChecksummedPieces]>

    private struct Member {
        var record: ZipRecord.Member
        let header: [UInt8]
        let descriptor: TensorDescriptor
        /// Where the header of the array begins.
        let start: Int
    }

    /// Starts the file.
    ///
    /// - Parameter metadata: not kept: the format has no place for it.
    /// - Throws: `FormatError` when NumPy cannot hold a tensor or its name, `IOError` when the file cannot be made.
    public init(
        creating path: FilePath, declaring descriptors: [TensorDescriptor], metadata: Metadata, options: WriteOptions
    ) throws {
        guard descriptors.count <= CentralDirectory.maximumEntryCount else {
            throw FormatError(
                .zipStructure,
                "there are \(descriptors.count) tensors to write; at most \(CentralDirectory.maximumEntryCount) fit into one .npz "
                    + "file", file: path)
        }
        var members: [Member] = []
        var position = 0
        var names: Set<TensorName> = []
        for descriptor in descriptors {
            guard names.insert(descriptor.name).inserted else {
                throw FormatError(
                    .duplicateMember, "two tensors are named \"\(descriptor.name)\"", file: path,
                    tensor: descriptor.name)
            }
            let member = try Self.place(descriptor, at: position, path)
            position = member.start + member.record.byteCount
            members.append(member)
        }
        self.members = members
        directoryOffset = position
        pieces = Mutex(Array(repeating: ChecksummedPieces(), count: members.count))
        let tail = Self.directory(of: members.map(\.record), at: position)
        let (total, overflow) = position.addingReportingOverflow(tail.count)
        guard !overflow else { throw Self.tooLarge(path) }
        output = try AtomicOutput(creating: path, byteCount: total, options: options)
    }

    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        guard members.indices.contains(tensor), offset >= 0, bytes.count <= members[tensor].descriptor.byteCount,
            offset <= members[tensor].descriptor.byteCount - bytes.count
        else {
            throw misuse("a write of \(bytes.count) bytes at byte \(offset) lies outside tensor number \(tensor)")
        }
        let member = members[tensor]
        let sum = CRC32.of(bytes)
        try output.write(bytes, at: member.start + member.header.count + offset)
        guard pieces.withLock({ $0[tensor].insert(offset..<offset + bytes.count, sum: sum) }) else {
            throw misuse("bytes from \(offset) on of tensor \"\(member.descriptor.name)\" were written twice")
        }
    }

    public func finish() throws -> WrittenCheckpoint {
        var records: [ZipRecord.Member] = []
        let pieces = pieces.withLock { $0 }
        for (index, member) in members.enumerated() {
            guard let sum = pieces[index].sum(ofAll: member.descriptor.byteCount) else {
                throw misuse("tensor \"\(member.descriptor.name)\" was not written completely")
            }
            var record = member.record
            record.crc32 = CRC32.combine(
                member.header.withUnsafeBytes(CRC32.of), sum, count: member.descriptor.byteCount)
            records.append(record)
            try output.write(ZipRecord.localHeader(record) + member.header, at: record.localHeaderOffset)
        }
        let tail = Self.directory(of: records, at: directoryOffset)
        try output.write(tail, at: directoryOffset)
        try output.commit()
        return WrittenCheckpoint(files: [output.path], byteCount: directoryOffset + tail.count)
    }

    private func misuse(_ message: String) -> IOError {
        IOError(kind: .failed, message: message, file: output.path.string)
    }
}

// MARK: - Layout

extension NpzWriter {
    private static func place(
        _ descriptor: TensorDescriptor, at position: Int, _ path: FilePath
    ) throws(FormatError) -> Member {
        let header = try NpyHeader.encoded(descriptor, file: path)
        let name = try memberName(of: descriptor, path)
        let (byteCount, tooLong) = header.count.addingReportingOverflow(descriptor.byteCount)
        guard !tooLong else { throw tooLarge(path) }
        let wide = !ZipRecord.fits32(byteCount)
        let bare = position + ZipRecord.localHeaderByteCount(name: name.count, wide: wide, padding: 0)
        var padding = (ZipRecord.alignment - bare % ZipRecord.alignment) % ZipRecord.alignment
        if padding > 0, padding < ZipRecord.minimumPadding { padding += ZipRecord.alignment }
        let start = bare + padding
        // Headers take far less than 2^32 bytes together.
        guard !start.addingReportingOverflow(byteCount).overflow, start + byteCount <= Int.max - 1 << 32 else {
            throw tooLarge(path)
        }
        return Member(
            record: ZipRecord.Member(
                name: name, crc32: 0, compressedByteCount: byteCount, byteCount: byteCount, localHeaderOffset: position,
                padding: padding),
            header: header, descriptor: descriptor, start: start)
    }

    /// The name of a tensor with `.npy` behind it.
    ///
    /// - Throws: `FormatError` for names that readers of zip files refuse or change.
    private static func memberName(of descriptor: TensorDescriptor, _ path: FilePath) throws(FormatError) -> [UInt8] {
        let name = descriptor.name.text
        func refused(_ category: FormatCategory, _ reason: String) -> FormatError {
            FormatError(
                category, "the name \"\(descriptor.name)\" cannot be stored in a .npz file: it \(reason)", file: path,
                tensor: descriptor.name, hint: "rename the tensor with `--rename`")
        }
        if name.isEmpty { throw refused(.badName, "is empty") }
        let member = name + ".npy"
        if let fault = ZipEntryName.fault(in: name) ?? ZipEntryName.fault(in: member) {
            throw refused(fault.category, fault.reason)
        }
        let bytes = Array(member.utf8)
        guard bytes.count <= 0xFFFF else {
            throw refused(.badName, "has \(bytes.count) bytes with its suffix; zip allows 65535")
        }
        return bytes
    }

    private static func directory(of records: [ZipRecord.Member], at offset: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for record in records { bytes += ZipRecord.directoryHeader(record) }
        return bytes + ZipRecord.end(entryCount: records.count, directory: offset..<offset + bytes.count)
    }

    private static func tooLarge(_ path: FilePath) -> FormatError {
        FormatError(.overflow, "the archive would have more than 2^63 bytes", file: path)
    }
}
