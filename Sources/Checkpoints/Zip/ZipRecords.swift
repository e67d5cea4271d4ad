// The records of a zip file, little-endian, numbers in brackets are byte counts (APPNOTE.TXT 6.3.10):
//
//   local header      PK34  version[2] flags[2] method[2] time[2] date[2] crc[4] csize[4] usize[4] nlen[2] elen[2] name extra
//   directory header  PK12  madeBy[2] version[2] flags[2] method[2] time[2] date[2] crc[4] csize[4] usize[4] nlen[2] elen[2]
//                           clen[2] disk[2] internal[2] external[4] offset[4] name extra comment
//   zip64 end record  PK66  size[8] madeBy[2] version[2] disk[4] startDisk[4] diskCount[8] count[8] csize[8] offset[8]
//   zip64 locator     PK67  disk[4] offset[8] disks[4]
//   end record        PK56  disk[2] startDisk[2] diskCount[2] count[2] size[4] offset[4] clen[2] comment
//   extra field       id[2] size[2] data; id 1 (zip64) holds usize[8] csize[8] offset[8] disk[4], each only when the
//                     header's own field is all ones
//
// A member's bytes begin behind the name and extra field of its local header.

/// The four bytes that open each record, as a little-endian number.
enum ZipSignature {
    static let localHeader: UInt32 = 0x0403_4B50
    static let directoryHeader: UInt32 = 0x0201_4B50
    static let zip64EndRecord: UInt32 = 0x0606_4B50
    static let zip64Locator: UInt32 = 0x0706_4B50
    static let endRecord: UInt32 = 0x0605_4B50
}

/// The sizes of the records without their variable parts.
enum ZipSize {
    static let localHeader = 30
    static let directoryHeader = 46
    static let zip64EndRecord = 56
    static let zip64Locator = 20
    static let endRecord = 22
}

/// Bits of the general purpose flags.
enum ZipFlags {
    static let encrypted: UInt16 = 1 << 0
    /// Sizes and sum follow the data; those of the local header are zero.
    static let dataDescriptor: UInt16 = 1 << 3
    static let patched: UInt16 = 1 << 5
    static let stronglyEncrypted: UInt16 = 1 << 6
    static let utf8: UInt16 = 1 << 11
    static let maskedHeader: UInt16 = 1 << 13
}

/// The extra field that widens sizes and offsets.
let zip64ExtraID: UInt16 = 1

/// How a member is compressed.
package enum ZipMethod: UInt16, Sendable {
    case stored = 0
    case deflated = 8
}

/// Little-endian numbers at positions that the caller has checked.
struct ZipBytes {
    let bytes: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    func u16(_ position: Int) -> UInt16 {
        UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt16.self))
    }

    func u32(_ position: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
    }

    func u64(_ position: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
    }

    func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }

    /// The data of the first extra field with an id.
    ///
    /// - Returns: nil when there is none. Padding of under four bytes, as Android's zipalign leaves, is passed over.
    /// - Throws: `ZipExtraOverrun` when a field reaches beyond the end.
    static func extraField(_ id: UInt16, in extra: UnsafeRawBufferPointer) throws(ZipExtraOverrun)
        -> UnsafeRawBufferPointer?
    {
        let fields = ZipBytes(extra)
        var position = 0
        while extra.count - position >= 4 {
            let end = position + 4 + Int(fields.u16(position + 2))
            guard end <= extra.count else { throw ZipExtraOverrun() }
            if fields.u16(position) == id { return fields.slice(position + 4..<end) }
            position = end
        }
        return nil
    }
}

/// An extra field claims more bytes than there are.
struct ZipExtraOverrun: Error {}
