import TensorCore

// Layout of a .skein file, version 1. Everything is little-endian; every part starts at a multiple of 64 bytes and the
// gaps between parts are zero.
//
//     0       header    seal, 64 bytes
//     64      index     tensors, metadata and the place of every chunk; its size is known before the first chunk
//     ...     chunks    in the order of the index, without gaps beyond the padding; see `SkeinChunkHeader`
//     ...     index     the same bytes again
//     end-64  footer    seal, the same but for its magic
//
// A seal:
//
//     0   8  magic: 89 "SKN" 0D 0A 1A 0A in the header, the same bytes backwards in the footer
//     8   2  major version, 1: other numbers are refused
//     10  2  minor version: any number is read
//     12  4  features that a reader must know (see `SkeinFeatures`); unknown bits are refused
//     16  4  features that a reader may ignore
//     20  4  zero
//     24  8  byte count of the index
//     32  8  offset of the second index
//     40  8  byte count of the file
//     48  8  XXH3-64 of the index
//     56  8  XXH3-64 of the 56 bytes before
//
// One index lies at each end, so that no single damaged region and no cut loses the list of what the file holds.
// docs/formats/skein.md is the full contract.

/// What a reader must know beyond the first form of the format.
struct SkeinFeatures: OptionSet {
    let rawValue: UInt32

    /// Tensors that share chunks, packed chunks, and a base of another type.
    static let compact = SkeinFeatures(rawValue: 1)
    static let known: SkeinFeatures = [.compact]
}

/// The header or the footer of a .skein file: each alone finds everything else.
struct SkeinSeal: Equatable {
    static let byteCount = 64
    static let alignment = 64
    static let magic: [UInt8] = [0x89] + "SKN\r\n".utf8 + [0x1A, 0x0A]
    static let majorVersion: UInt16 = 1

    let features: SkeinFeatures
    let indexByteCount: UInt64
    let secondIndexOffset: UInt64
    let fileByteCount: UInt64
    let indexChecksum: UInt64

    enum Position: String {
        case header, footer
        var magic: [UInt8] { self == .header ? SkeinSeal.magic : SkeinSeal.magic.reversed() }
    }

    /// What a reader found in the 64 bytes.
    enum Reading {
        case seal(SkeinSeal)
        /// The checksum is right, but the file is of a later kind; the text says how.
        case unsupported(String)
        /// The checksum is wrong.
        case damaged
    }

    func encoded(as position: Position) -> [UInt8] {
        var bytes = SkeinBytes()
        bytes.append(position.magic)
        bytes.append(Self.majorVersion)
        bytes.append(UInt16(0))
        bytes.append(features.rawValue)
        bytes.append(UInt32(0))
        bytes.append(UInt32(0))
        bytes.append(indexByteCount)
        bytes.append(secondIndexOffset)
        bytes.append(fileByteCount)
        bytes.append(indexChecksum)
        bytes.append(SkeinHash.checksum(bytes.content))
        return bytes.content
    }

    /// Reads a seal and says what is wrong with it.
    ///
    /// - Precondition: there are 64 bytes.
    static func read(_ bytes: UnsafeRawBufferPointer, as position: Position) -> Reading {
        let body = UnsafeRawBufferPointer(rebasing: bytes[..<56])
        guard SkeinHash.checksum(body) == bytes.littleEndian(UInt64.self, at: 56),
            body.starts(with: position.magic)
        else { return .damaged }
        let major = bytes.littleEndian(UInt16.self, at: 8)
        guard major == majorVersion else {
            return .unsupported("it has version \(major) of the format; this program reads version \(majorVersion)")
        }
        let features = SkeinFeatures(rawValue: bytes.littleEndian(UInt32.self, at: 12))
        let unknown = features.subtracting(.known)
        guard unknown.isEmpty else {
            return .unsupported(
                "it needs feature number \(unknown.rawValue.trailingZeroBitCount), which this program lacks")
        }
        return .seal(
            SkeinSeal(
                features: features, indexByteCount: bytes.littleEndian(UInt64.self, at: 24),
                secondIndexOffset: bytes.littleEndian(UInt64.self, at: 32),
                fileByteCount: bytes.littleEndian(UInt64.self, at: 40),
                indexChecksum: bytes.littleEndian(UInt64.self, at: 48)))
    }
}

/// Where the parts of a file lie, worked out from its seal with nothing taken on trust.
struct SkeinExtent: Equatable {
    let firstIndex: Range<Int>
    /// The chunks with their padding.
    let chunks: Range<Int>
    let secondIndex: Range<Int>
    let fileByteCount: Int

    /// What no position and no size reaches: far below 2^63, so that sums of a few cannot overflow.
    static let byteLimit = 1 << 60

    /// Works out where the parts of a file lie.
    ///
    /// - Precondition: the chunks end at a multiple of 64, not before they start.
    init(indexByteCount: Int, chunksEnd: Int) {
        firstIndex = SkeinSeal.byteCount..<SkeinSeal.byteCount + indexByteCount
        chunks = Self.chunksStart(indexByteCount: indexByteCount)..<chunksEnd
        secondIndex = chunksEnd..<chunksEnd + indexByteCount
        fileByteCount = secondIndex.upperBound.roundedUpToSkeinAlignment + SkeinSeal.byteCount
    }

    /// Where the first chunk begins.
    static func chunksStart(indexByteCount: Int) -> Int {
        (SkeinSeal.byteCount + indexByteCount).roundedUpToSkeinAlignment
    }

    /// The extent that a seal claims; nil when its numbers contradict each other.
    init?(_ seal: SkeinSeal) {
        guard let indexByteCount = Int(exactly: seal.indexByteCount), indexByteCount <= Self.byteLimit,
            let secondIndexOffset = Int(exactly: seal.secondIndexOffset), secondIndexOffset <= Self.byteLimit,
            secondIndexOffset % SkeinSeal.alignment == 0,
            secondIndexOffset >= Self.chunksStart(indexByteCount: indexByteCount)
        else { return nil }
        self.init(indexByteCount: indexByteCount, chunksEnd: secondIndexOffset)
        guard seal.fileByteCount == UInt64(fileByteCount) else { return nil }
    }
}

extension Int {
    /// The next multiple of 64, the number itself included.
    var roundedUpToSkeinAlignment: Int { (self + SkeinSeal.alignment - 1) & ~(SkeinSeal.alignment - 1) }
}
