import SystemPackage

/// One member of a zip file as the directory describes it; its local header was checked against that.
package struct ZipEntry: Sendable {
    package let name: String
    /// The number of the compression method.
    package let methodNumber: UInt16
    /// The sum over the uncompressed bytes.
    package let crc32: UInt32
    /// The size of the uncompressed bytes.
    package let byteCount: Int
    /// Where the stored or deflated bytes lie in the file.
    package let data: Range<Int>
    package let localHeaderOffset: Int

    /// How the member is compressed; nil for a method that is not read.
    package var method: ZipMethod? { ZipMethod(rawValue: methodNumber) }

    /// What the member takes of the file, from its local header on.
    var extent: Range<Int> { localHeaderOffset..<data.upperBound }

    /// The name with control characters escaped, in quotes.
    var label: String { "\"\(name.escapingControlCharacters)\"" }
}

/// A header of the directory whose numbers are read but not yet believed.
struct DirectoryHeader {
    let flags: UInt16
    let method: UInt16
    let crc32: UInt32
    let nameBytes: UnsafeRawBufferPointer
    let name: String
    let fileMode: UInt32
    let compressedByteCount, byteCount, localHeaderOffset: Int
    /// Where the header lies, and where the next one begins.
    let range: Range<Int>

    /// Reads the header at a position of the directory and checks what it says by itself.
    ///
    /// - Throws: `FormatError` with `zip_structure`, `encrypted`, `unsupported_compression`, `overflow`, `bad_name` or
    ///   `path_traversal`.
    init(at position: Int, before end: Int, in bytes: ZipBytes, path: FilePath) throws(FormatError) {
        guard end - position >= ZipSize.directoryHeader, bytes.u32(position) == ZipSignature.directoryHeader else {
            throw FormatError(
                .zipStructure, "the zip directory has no member header at byte \(position)", file: path,
                byteOffset: position)
        }
        let nameStart = position + ZipSize.directoryHeader
        let extraStart = nameStart + Int(bytes.u16(position + 28))
        let extraEnd = extraStart + Int(bytes.u16(position + 30))
        let next = extraEnd + Int(bytes.u16(position + 32))
        guard next <= end else {
            throw FormatError(
                .zipStructure,
                "a member header of the zip directory ends at byte \(next), beyond the directory's end at \(end)",
                file: path, byteOffset: position)
        }
        range = position..<next
        flags = bytes.u16(position + 8)
        method = bytes.u16(position + 10)
        crc32 = bytes.u32(position + 16)
        fileMode = bytes.u32(position + 38) >> 16
        nameBytes = bytes.slice(nameStart..<extraStart)
        guard let decoded = ZipEntryName.decode(nameBytes, isUTF8: flags & ZipFlags.utf8 != 0) else {
            throw FormatError(
                .badName, "a member name is not valid UTF-8 but is marked as such", file: path, byteOffset: nameStart)
        }
        name = decoded
        let label = "\"\(decoded.escapingControlCharacters)\""

        let encryption = ZipFlags.encrypted | ZipFlags.stronglyEncrypted | ZipFlags.maskedHeader
        if flags & encryption != 0 || method == 99 {
            throw FormatError(.encrypted, "member \(label) is encrypted", file: path, byteOffset: position)
        }
        if flags & ZipFlags.patched != 0 {
            throw FormatError(
                .unsupportedCompression, "member \(label) holds compressed patch data (flag bit 5)", file: path,
                byteOffset: position)
        }

        let sizes = try WideFields(
            usize: bytes.u32(position + 24), csize: bytes.u32(position + 20), offset: bytes.u32(position + 42),
            disk: bytes.u16(position + 34), extra: bytes.slice(extraStart..<extraEnd), label: label, path: path,
            at: position)
        byteCount = sizes.usize
        compressedByteCount = sizes.csize
        localHeaderOffset = sizes.offset

        if let fault = ZipEntryName.fault(in: decoded) {
            throw FormatError(
                fault.category, "the member name \(label) \(fault.reason)", file: path, byteOffset: nameStart)
        }
    }

    /// Whether the entry is named as a folder, which holds nothing.
    var isFolder: Bool { name.utf8.last == UInt8(ascii: "/") }
    var isSymbolicLink: Bool { fileMode & 0o170000 == 0o120000 }
}

/// Sizes and offset of a member, taken from the zip64 extra field where the header says so.
private struct WideFields {
    let usize, csize, offset: Int

    init(
        usize: UInt32, csize: UInt32, offset: UInt32, disk: UInt16, extra: UnsafeRawBufferPointer, label: String,
        path: FilePath,
        at position: Int
    ) throws(FormatError) {
        func structure(_ message: String) -> FormatError {
            FormatError(.zipStructure, "member \(label) \(message)", file: path, byteOffset: position)
        }
        let wide: UnsafeRawBufferPointer?
        do { wide = try ZipBytes.extraField(zip64ExtraID, in: extra) } catch {
            throw structure("has an extra field that reaches beyond its header")
        }
        var used = 0
        func widen(_ narrow: UInt32) throws(FormatError) -> Int {
            guard narrow == 0xFFFF_FFFF, let wide else { return Int(narrow) }
            guard wide.count - used >= 8 else { throw structure("has a zip64 field that is too short") }
            let value = ZipBytes(wide).u64(used)
            used += 8
            guard let value = Int(exactly: value) else {
                throw FormatError(
                    .overflow, "member \(label) has a size or position of \(value) bytes, 2^63 or more", file: path,
                    byteOffset: position)
            }
            return value
        }
        self.usize = try widen(usize)
        self.csize = try widen(csize)
        self.offset = try widen(offset)
        if disk == 0xFFFF, let wide {
            guard wide.count - used >= 4 else { throw structure("has a zip64 field that is too short") }
            guard ZipBytes(wide).u32(used) == 0 else { throw structure("lies on another disk") }
        } else if disk != 0 {
            throw structure("lies on another disk")
        }
    }
}
