import CArchive
import Glibc
import SystemPackage
import TensorCore

/// The uncompressed bytes of one deflated member, block by block.
///
/// libarchive inflates. It is given a local header made from the directory's entry, followed by the mapped deflate bytes, and
/// never sees the file's own headers: so members with a data descriptor need no care, and the directory's sizes count.
/// Memory is libarchive's block of 256 KiB, whatever the member claims.
final class EntryInflate {
    private let entry: ZipEntry
    private let path: FilePath
    private let input: InflateInput
    private let archive: OpaquePointer
    private var producedByteCount = 0
    private var isFinished = false

    /// Prepares to inflate a deflated member; the first block is inflated by the first `next()`.
    ///
    /// - Throws: `IOError` when there is no memory.
    init(_ entry: ZipEntry, in file: MappedFile) throws {
        self.entry = entry
        path = file.path
        input = InflateInput(entry, in: file)
        guard let archive = archive_read_new() else {
            throw IOError(kind: .memory, message: "cannot allocate a decompressor", file: file.path.string)
        }
        self.archive = archive
        archive_read_support_format_zip_streamable(archive)
        // The sum is compared by the caller, who knows the directory's.
        archive_read_set_format_option(archive, "zip", "ignorecrc32", "1")
        // Safety: libarchive calls back only inside calls made by this object, which keeps `input` alive.
        let client = Unmanaged.passUnretained(input).toOpaque()
        var header: OpaquePointer?
        guard
            archive_read_open2(archive, client, nil, readNextInflateBlock, nil, nil) == ARCHIVE_OK,
            archive_read_next_header(archive, &header) == ARCHIVE_OK
        else {
            let reason = Self.reason(of: archive)
            archive_read_free(archive)
            throw IOError(
                kind: .failed, message: "cannot start the decompressor: \(reason)", file: file.path.string)
        }
    }

    deinit { archive_read_free(archive) }

    /// The next bytes, valid until the next call; nil at the end of a stream that is whole and has the declared size.
    ///
    /// - Throws: `FormatError` with `bad_deflate` or `size_mismatch`.
    func next() throws(FormatError) -> UnsafeRawBufferPointer? {
        while !isFinished {
            var block: UnsafeRawPointer?
            var count = 0
            var offset: la_int64_t = 0
            let status = archive_read_data_block(archive, &block, &count, &offset)
            switch status {
            case ARCHIVE_OK: break
            case ARCHIVE_EOF:
                isFinished = true
                count = 0
            case ARCHIVE_WARN:
                // With sums ignored, libarchive warns of nothing but sizes that differ from the header, at the end.
                if producedByteCount + count == entry.byteCount {
                    throw sizeMismatch("its deflate stream ends before its \(entry.data.count) stored bytes do")
                }
                isFinished = true
            default:
                throw FormatError(
                    .badDeflate,
                    "member \(entry.label) cannot be inflated beyond byte \(producedByteCount) of \(entry.byteCount): "
                        + Self.reason(of: archive), file: path, byteOffset: entry.data.lowerBound,
                    hint: "the file is damaged; fetch it again")
            }
            producedByteCount += count
            guard producedByteCount <= entry.byteCount else {
                throw sizeMismatch("its deflate stream holds more than the declared \(entry.byteCount) bytes")
            }
            if count > 0 { return UnsafeRawBufferPointer(start: block, count: count) }
        }
        guard producedByteCount == entry.byteCount else {
            throw sizeMismatch(
                "its deflate stream holds \(producedByteCount) bytes, not the declared \(entry.byteCount)")
        }
        return nil
    }

    private func sizeMismatch(_ reason: String) -> FormatError {
        FormatError(
            .sizeMismatch, "member \(entry.label) has a wrong size: \(reason)", file: path,
            byteOffset: entry.data.lowerBound)
    }

    private static func reason(of archive: OpaquePointer) -> String {
        archive_error_string(archive).map { String(cString: $0) } ?? "no reason given"
    }
}

/// What libarchive reads: a clean local header, then the member's bytes where they are mapped.
private final class InflateInput {
    private let file: MappedFile
    private let data: Range<Int>
    private let header: UnsafeMutableRawBufferPointer
    private var position: Int?

    /// The first block of data is small: it holds a NumPy header, and inflating that should not cost a whole block.
    private static let firstBlockByteCount = 1 << 7
    private static let blockByteCount = 1 << 20

    init(_ entry: ZipEntry, in file: MappedFile) {
        self.file = file
        data = entry.data
        let record = ZipRecord.localHeader(
            ZipRecord.Member(
                name: [UInt8(ascii: "m")], method: .deflated, crc32: entry.crc32,
                compressedByteCount: entry.data.count,
                byteCount: entry.byteCount, localHeaderOffset: 0, padding: 0))
        header = UnsafeMutableRawBufferPointer.allocate(byteCount: record.count, alignment: 8)
        header.copyBytes(from: record)
    }

    deinit { header.deallocate() }

    /// The next block; empty at the end.
    func next() -> UnsafeRawBufferPointer {
        guard let start = position else {
            position = data.lowerBound
            return UnsafeRawBufferPointer(header)
        }
        let size = start == data.lowerBound ? Self.firstBlockByteCount : Self.blockByteCount
        let end = min(data.upperBound, start + size)
        position = end
        return UnsafeRawBufferPointer(rebasing: file.bytes[start..<end])
    }
}

private func readNextInflateBlock(
    _ archive: OpaquePointer?, _ client: UnsafeMutableRawPointer?, _ block: UnsafeMutablePointer<UnsafeRawPointer?>?
) -> la_ssize_t {
    // Safety: `client` is the InflateInput that the calling EntryInflate owns; blocks live as long as it does.
    guard let client, let block else { return -1 }
    let bytes = Unmanaged<InflateInput>.fromOpaque(client).takeUnretainedValue().next()
    block.pointee = bytes.baseAddress
    return bytes.count
}
