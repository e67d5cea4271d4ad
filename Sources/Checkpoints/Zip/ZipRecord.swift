/// Encodes the records of a zip file; ZipRecords.swift draws them.
///
/// Zip64 fields appear only where a number does not fit, so that small files are read by any tool. Times are 1980-01-01 0:00:
/// the same content gives the same bytes.
package enum ZipRecord {
    /// A member as it is written.
    package struct Member {
        package var name: [UInt8]
        package var method: ZipMethod
        package var crc32: UInt32
        package var compressedByteCount: Int
        package var byteCount: Int
        package var localHeaderOffset: Int
        /// The size of the extra field that moves the data to an aligned position: 0, or at least 6.
        package var padding: Int

        package init(
            name: [UInt8], method: ZipMethod = .stored, crc32: UInt32, compressedByteCount: Int, byteCount: Int,
            localHeaderOffset: Int, padding: Int
        ) {
            self.name = name
            self.method = method
            self.crc32 = crc32
            self.compressedByteCount = compressedByteCount
            self.byteCount = byteCount
            self.localHeaderOffset = localHeaderOffset
            self.padding = padding
        }

        var needsWideSizes: Bool { !fits32(compressedByteCount) || !fits32(byteCount) }
        var needsWideOffset: Bool { !fits32(localHeaderOffset) }
    }

    /// The extra field with which Android's zipalign pads: id, size, alignment, zeros.
    static let paddingExtraID: UInt16 = 0xD935
    static let minimumPadding = 6
    static let alignment = 64

    /// Whether a number can stand in a field of four bytes, all ones being the mark of zip64.
    static func fits32(_ value: Int) -> Bool { value < 0xFFFF_FFFF }

    static func localHeaderByteCount(name: Int, wide: Bool, padding: Int) -> Int {
        ZipSize.localHeader + name + (wide ? 20 : 0) + padding
    }

    package static func localHeader(_ member: Member) -> [UInt8] {
        let wide = member.needsWideSizes
        var bytes = LittleEndianBytes()
        bytes.append(ZipSignature.localHeader)
        appendCommon(member, wide: wide, to: &bytes)
        bytes.append(UInt16(member.name.count))
        bytes.append(UInt16((wide ? 20 : 0) + member.padding))
        bytes.append(contentsOf: member.name)
        if wide {
            bytes.append(zip64ExtraID)
            bytes.append(16 as UInt16)
            bytes.append(UInt64(member.byteCount))
            bytes.append(UInt64(member.compressedByteCount))
        }
        if member.padding >= minimumPadding {
            bytes.append(paddingExtraID)
            bytes.append(UInt16(member.padding - 4))
            bytes.append(UInt16(alignment))
            bytes.append(contentsOf: [UInt8](repeating: 0, count: member.padding - minimumPadding))
        }
        return bytes.bytes
    }

    package static func directoryHeader(_ member: Member) -> [UInt8] {
        let wide = member.needsWideSizes
        var extra = LittleEndianBytes()
        if wide {
            extra.append(UInt64(member.byteCount))
            extra.append(UInt64(member.compressedByteCount))
        }
        if member.needsWideOffset { extra.append(UInt64(member.localHeaderOffset)) }
        var bytes = LittleEndianBytes()
        bytes.append(ZipSignature.directoryHeader)
        bytes.append(madeByUnix | (extra.bytes.isEmpty ? 20 : 45))
        appendCommon(member, wide: wide, to: &bytes)
        bytes.append(UInt16(member.name.count))
        bytes.append(UInt16(extra.bytes.isEmpty ? 0 : extra.bytes.count + 4))
        bytes.append(0 as UInt16)
        bytes.append(0 as UInt16)
        bytes.append(0 as UInt16)
        bytes.append(regularFileMode << 16)
        bytes.append(member.needsWideOffset ? 0xFFFF_FFFF : UInt32(member.localHeaderOffset))
        bytes.append(contentsOf: member.name)
        if !extra.bytes.isEmpty {
            bytes.append(zip64ExtraID)
            bytes.append(UInt16(extra.bytes.count))
            bytes.append(contentsOf: extra.bytes)
        }
        return bytes.bytes
    }

    /// The end records: only the plain one when everything fits into it.
    package static func end(entryCount: Int, directory: Range<Int>) -> [UInt8] {
        var bytes = LittleEndianBytes()
        let wide = entryCount >= 0xFFFF || !fits32(directory.count) || !fits32(directory.lowerBound)
        if wide {
            bytes.append(ZipSignature.zip64EndRecord)
            bytes.append(UInt64(ZipSize.zip64EndRecord - 12))
            bytes.append(madeByUnix | 45)
            bytes.append(45 as UInt16)
            bytes.append(0 as UInt32)
            bytes.append(0 as UInt32)
            bytes.append(UInt64(entryCount))
            bytes.append(UInt64(entryCount))
            bytes.append(UInt64(directory.count))
            bytes.append(UInt64(directory.lowerBound))
            bytes.append(ZipSignature.zip64Locator)
            bytes.append(0 as UInt32)
            bytes.append(UInt64(directory.upperBound))
            bytes.append(1 as UInt32)
        }
        bytes.append(ZipSignature.endRecord)
        bytes.append(0 as UInt16)
        bytes.append(0 as UInt16)
        bytes.append(UInt16(min(entryCount, 0xFFFF)))
        bytes.append(UInt16(min(entryCount, 0xFFFF)))
        bytes.append(UInt32(min(directory.count, 0xFFFF_FFFF)))
        bytes.append(UInt32(min(directory.lowerBound, 0xFFFF_FFFF)))
        bytes.append(0 as UInt16)
        return bytes.bytes
    }

    /// From the version needed to the uncompressed size, the same in both headers.
    private static func appendCommon(_ member: Member, wide: Bool, to bytes: inout LittleEndianBytes) {
        bytes.append(UInt16(wide || member.needsWideOffset ? 45 : 20))
        bytes.append(member.name.contains { $0 >= 0x80 } ? ZipFlags.utf8 : 0)
        bytes.append(member.method.rawValue)
        bytes.append(midnight)
        bytes.append(firstOfJanuary1980)
        bytes.append(member.crc32)
        bytes.append(wide ? 0xFFFF_FFFF : UInt32(member.compressedByteCount))
        bytes.append(wide ? 0xFFFF_FFFF : UInt32(member.byteCount))
    }

    private static let midnight: UInt16 = 0
    private static let firstOfJanuary1980: UInt16 = 1 << 5 | 1
    private static let madeByUnix: UInt16 = 3 << 8
    private static let regularFileMode: UInt32 = 0o100644
}

/// Bytes to which numbers are appended, lowest byte first.
struct LittleEndianBytes {
    private(set) var bytes: [UInt8] = []

    mutating func append<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(contentsOf other: [UInt8]) { bytes.append(contentsOf: other) }
}
