import TensorCore

// A chunk: a header of 56 bytes and 8 for each byte plane, the payload, zeros up to a multiple of 64.
//
//     0    4   "SKCH"
//     4    4   number of the tensor in the index
//     8    8   number of the chunk in its tensor
//     16   1   transform: 0 none, 1 rotate, 2 zigzag difference to the base, 3 XOR with the base
//     17   1   byte planes: 1, 2, 4 or 8
//     18   1   packing: 0 none, 1 zeros are left out, 2 repeated rows are left out (see `SkeinPacking`)
//     19   5   zero
//     24   8   byte count before coding
//     32   8   checksum of the base's bytes for this chunk; zero without a base
//     40   8   checksum of the payload
//     48   8   for each plane, plane 0 being the least significant bytes: the low 56 bits are its byte count in the
//              payload, the high 8 the codec: 0 raw, 1 one zstd frame, 2 one byte repeated
//     ..  24   of a packed chunk alone: its map
//     ..   8   XXH3-64 of the header up to here
//
// So the header of a tensor stored as it is, with one plane, has 64 bytes, and its payload lies at a multiple of 64.
//
// "Checksum" is the low half of the tree hash (see `SkeinHash`), except where XXH3-64 is said.

/// How the elements of a chunk were changed before their bytes were split into planes.
enum SkeinTransform: UInt8 {
    case none = 0
    /// Bits rotated left by one: the sign moves behind the mantissa and the exponent fills whole bytes.
    case rotate = 1
    /// The difference to the base's element in the order of the numbers, its sign in the lowest bit.
    case zigzag = 2
    /// Exclusive or with the base's element.
    case xor = 3

    var needsBase: Bool { self == .zigzag || self == .xor }

    /// What suits elements of a type by themselves.
    ///
    /// Half precision has five exponent bits, which fill no byte with or without the sign: rotation gains nothing.
    static func plain(for dtype: DType) -> SkeinTransform {
        switch dtype {
        case .bf16, .f32, .f64, .c64, .c128: .rotate
        default: .none
        }
    }

    /// What suits elements of a type beside those of a base.
    static func delta(for dtype: DType) -> SkeinTransform {
        switch dtype {
        case .f16, .bf16, .f32, .f64, .c64, .c128: .zigzag
        default: .xor
        }
    }
}

/// How one byte plane is stored.
enum SkeinPlaneCodec: UInt8 {
    case raw = 0
    /// One zstd frame that tells its content size.
    case zstd = 1
    /// One byte that stands for all.
    case constant = 2
}

/// What stands before the payload of a chunk.
struct SkeinChunkHeader: Equatable {
    static let minimumByteCount = byteCount(planeCount: 1)
    /// Of a chunk that is not packed. One that is takes less than it would as it is.
    static let maximumByteCount = byteCount(planeCount: maximumPlaneCount)
    static let maximumPackedByteCount = maximumByteCount + SkeinPacking.byteCount
    static let sync = Array("SKCH".utf8)
    static let maximumPlaneCount = 8

    static func byteCount(planeCount: Int) -> Int { 56 + 8 * planeCount }

    struct Plane: Equatable {
        let codec: SkeinPlaneCodec
        let byteCount: Int

        fileprivate var entry: UInt64 { UInt64(codec.rawValue) << 56 | UInt64(byteCount) }
    }

    var tensor: Int
    var chunk: Int
    var transform: SkeinTransform
    var byteCount: Int
    var baseChecksum: UInt64
    var planes: [Plane]
    var packing: SkeinPacking?
    var payloadChecksum: UInt64

    /// The size of the header itself.
    var headerByteCount: Int {
        Self.byteCount(planeCount: planes.count) + (packing == nil ? 0 : SkeinPacking.byteCount)
    }

    var payloadByteCount: Int { planes.reduce(packing?.map.byteCount ?? 0) { $0 + $1.byteCount } }

    /// What the chunk takes in the file.
    var chunkByteCount: Int { (headerByteCount + payloadByteCount).roundedUpToSkeinAlignment }

    /// What a chunk takes whose bytes are stored as they are.
    static func plainChunkByteCount(of byteCount: Int) -> Int {
        (minimumByteCount + byteCount).roundedUpToSkeinAlignment
    }

    /// Whether the payload is the bytes of the tensor as they are.
    var isPlain: Bool {
        transform == .none && planes.count == 1 && planes[0].codec == .raw && packing == nil
    }

    /// Writes the header.
    ///
    /// - Returns: its checksum, which the index repeats.
    @discardableResult
    func store(to target: UnsafeMutableRawPointer) -> UInt64 {
        target.initializeMemory(as: UInt8.self, repeating: 0, count: headerByteCount)
        func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
            target.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
        }
        target.copyMemory(from: Self.sync, byteCount: 4)
        put(UInt32(tensor), at: 4)
        put(UInt64(chunk), at: 8)
        put(transform.rawValue, at: 16)
        put(UInt8(planes.count), at: 17)
        put(packing?.kind.rawValue ?? 0, at: 18)
        put(UInt64(byteCount), at: 24)
        put(baseChecksum, at: 32)
        put(payloadChecksum, at: 40)
        for (number, plane) in planes.enumerated() {
            put(plane.entry, at: 48 + 8 * number)
        }
        if let packing {
            let place = 48 + 8 * planes.count
            put(packing.map.entry, at: place)
            put(UInt64(packing.keptCount), at: place + 8)
            put(UInt32(packing.mapByteCount), at: place + 16)
            put(UInt32(packing.rowByteCount), at: place + 20)
        }
        let checksum = SkeinHash.checksum(UnsafeRawBufferPointer(start: target, count: headerByteCount - 8))
        put(checksum, at: headerByteCount - 8)
        return checksum
    }

    /// Why a header cannot be used.
    struct Fault: Error {
        let category: FormatCategory
        let reason: String

        init(_ category: FormatCategory, _ reason: String) {
            self.category = category
            self.reason = reason
        }
    }

    /// Reads the header at the start of a chunk and checks that it describes all of it without contradiction.
    ///
    /// - Parameters:
    ///   - bytes: the chunk, or as much of it as was read.
    ///   - storedByteCount: the size of the chunk, of which `bytes` holds the header at least.
    ///   - expected: the checksum of the header, as the index states it.
    init(_ bytes: UnsafeRawBufferPointer, storedByteCount: Int, expected: UInt64) throws(Fault) {
        // The number of planes and the packing say how long the header is; wrong ones lead to a wrong checksum.
        let planeCount = bytes.count > 18 ? Int(bytes[17]) : 0
        let isPacked = bytes.count > 18 && bytes[18] != 0
        let end = Self.byteCount(planeCount: planeCount) + (isPacked ? SkeinPacking.byteCount : 0)
        guard planeCount <= Self.maximumPlaneCount, end <= bytes.count,
            SkeinHash.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<(end - 8)])) == expected,
            bytes.littleEndian(UInt64.self, at: end - 8) == expected
        else { throw Fault(.badChecksum, "the checksum of its header is wrong") }
        guard bytes.starts(with: Self.sync), bytes[19..<24].allSatisfy({ $0 == 0 }) else {
            throw Fault(.badChunk, "its header does not begin as one")
        }
        guard let transform = SkeinTransform(rawValue: bytes[16]) else {
            throw Fault(.unsupportedCompression, "it uses transform \(bytes[16]), which this program does not know")
        }
        guard [1, 2, 4, 8].contains(planeCount) else {
            throw Fault(.badChunk, "it has \(planeCount) byte planes")
        }
        guard let chunk = Int(exactly: bytes.littleEndian(UInt64.self, at: 8)),
            let byteCount = Int(exactly: bytes.littleEndian(UInt64.self, at: 24)), byteCount > 0,
            byteCount % planeCount == 0
        else { throw Fault(.badChunk, "its byte count does not fit its \(planeCount) planes") }
        tensor = Int(bytes.littleEndian(UInt32.self, at: 4))
        self.chunk = chunk
        self.transform = transform
        self.byteCount = byteCount
        baseChecksum = bytes.littleEndian(UInt64.self, at: 32)
        payloadChecksum = bytes.littleEndian(UInt64.self, at: 40)
        if isPacked {
            guard !transform.needsBase else { throw Fault(.badChunk, "it is packed and refers to a base") }
            packing = try Self.packing(bytes, planeCount: planeCount, wordCount: byteCount / planeCount)
        }
        let planeByteCount = packing?.keptCount ?? byteCount / planeCount
        planes = []
        for number in 0..<planeCount { planes.append(try Self.plane(bytes, number, of: planeByteCount)) }
        guard storedByteCount == end + payloadByteCount else {
            throw Fault(.badChunk, "its planes and its payload differ in size")
        }
    }

    /// Reads the entry of a plane, or of the map behind the planes.
    private static func plane(
        _ bytes: UnsafeRawBufferPointer, _ number: Int, of planeByteCount: Int
    ) throws(Fault) -> Plane {
        let entry = bytes.littleEndian(UInt64.self, at: 48 + 8 * number)
        guard let codec = SkeinPlaneCodec(rawValue: UInt8(entry >> 56)) else {
            throw Fault(.unsupportedCompression, "it uses codec \(entry >> 56), which this program does not know")
        }
        let stored = Int(entry & 0xFF_FFFF_FFFF_FFFF)
        let fits =
            switch codec {
            case .raw: stored == planeByteCount
            case .zstd: stored > 0 && stored < planeByteCount
            case .constant: stored == 1 && planeByteCount > 0
            }
        guard fits else { throw Fault(.badChunk, "plane \(number) of \(planeByteCount) bytes takes \(stored)") }
        return Plane(codec: codec, byteCount: stored)
    }

    private static func packing(
        _ bytes: UnsafeRawBufferPointer, planeCount: Int, wordCount: Int
    ) throws(Fault) -> SkeinPacking {
        guard let kind = SkeinPacking.Kind(rawValue: bytes[18]) else {
            throw Fault(.unsupportedCompression, "it uses packing \(bytes[18]), which this program does not know")
        }
        let place = 48 + 8 * planeCount
        let keptCount = Int(clamping: bytes.littleEndian(UInt64.self, at: place + 8))
        let mapByteCount = Int(bytes.littleEndian(UInt32.self, at: place + 16))
        let rowByteCount = Int(bytes.littleEndian(UInt32.self, at: place + 20))
        let fits =
            switch kind {
            case .zeros: mapByteCount == SkeinPacking.zeroMapByteCount(words: wordCount) && rowByteCount == 0
            case .repeats:
                rowByteCount >= SkeinPacking.leastRowByteCount && rowByteCount % planeCount == 0
                    && mapByteCount <= wordCount * planeCount
            }
        guard fits, keptCount < wordCount else { throw Fault(.badChunk, "its map does not fit it") }
        return SkeinPacking(
            kind: kind, map: try plane(bytes, planeCount, of: mapByteCount), keptCount: keptCount,
            mapByteCount: mapByteCount, rowByteCount: rowByteCount)
    }
}

extension SkeinChunkHeader {
    init(tensor: Int, chunk: Int, transform: SkeinTransform, byteCount: Int, planes: [Plane]) {
        self.tensor = tensor
        self.chunk = chunk
        self.transform = transform
        self.byteCount = byteCount
        baseChecksum = 0
        self.planes = planes
        payloadChecksum = 0
    }
}
