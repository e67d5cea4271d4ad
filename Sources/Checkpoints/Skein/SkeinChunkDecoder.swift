internal import CZstd
import Glibc
import TensorCore

/// Decodes chunks one after the other with tools of its own; each thread has one.
final class SkeinChunkDecoder {
    /// Safety: made in init, freed in deinit, used by one thread at a time.
    private let context: OpaquePointer
    private let joiner = BytePlanes()
    private let planes: AlignedBuffer
    private var pointers: [UnsafePointer<UInt8>] = []
    /// The stored words of a packed chunk, its map, and the chunk: made when the first of them comes.
    private var packed: (kept: AlignedBuffer, map: AlignedBuffer, whole: AlignedBuffer)?
    private let rawByteCount: Int
    /// Room for the stored form of a chunk.
    let input: AlignedBuffer
    /// Room for the bytes of a chunk.
    let output: AlignedBuffer
    /// The chunk whose planes lie in the buffers: reading it in small ranges decompresses it once.
    private(set) var unpacked: UnpackedChunk?

    /// Which chunk was unpacked.
    struct UnpackedChunk {
        let tensor: Int
        let chunk: Int
        let header: SkeinChunkHeader
        /// The base's bytes for it were compared with their checksum.
        var hasCheckedBase = false

        func isChunk(_ chunk: Int, of tensor: Int) -> Bool { self.chunk == chunk && self.tensor == tensor }
    }

    /// Takes memory for the planes of a chunk.
    ///
    /// - Parameter rawByteCount: the most bytes of tensor data in a chunk.
    init(rawByteCount: Int) throws(IOError) {
        self.rawByteCount = rawByteCount
        planes = try AlignedBuffer(byteCount: rawByteCount, isZeroed: false)
        input = try AlignedBuffer(
            byteCount: SkeinChunkHeader.maximumPackedByteCount + rawByteCount, isZeroed: false)
        output = try AlignedBuffer(byteCount: rawByteCount, isZeroed: false)
        guard let context = ZSTD_createDCtx() else {
            throw IOError(
                kind: .memory, message: "cannot allocate a decompressor", file: nil, hint: "lower --threads")
        }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Gives up the chunk that is unpacked, before something else is read into `input`.
    func forget() { unpacked = nil }

    /// Notes that the base's bytes for the unpacked chunk are the right ones.
    func baseIsChecked() { unpacked?.hasCheckedBase = true }

    /// Decompresses the planes of a chunk whose checksums were right.
    ///
    /// - Parameters:
    ///   - payload: stays where it is until the next chunk.
    ///   - start: where in the tensor the chunk begins.
    ///   - window: the bytes of the tensor that the chunk may repeat.
    /// - Throws: `SkeinChunkHeader.Fault` when the payload does not decode to the planes; `IOError` when there is no memory.
    func unpack(
        _ header: SkeinChunkHeader, _ payload: UnsafeRawBufferPointer, at start: Int,
        window: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws {
        unpacked = nil
        let planeByteCount = header.packing?.keptCount ?? header.byteCount / header.planes.count
        pointers.removeAll(keepingCapacity: true)
        var position = 0
        for (number, plane) in header.planes.enumerated() {
            let stored = UnsafeRawBufferPointer(rebasing: payload[position..<position + plane.byteCount])
            position += plane.byteCount
            if plane.codec == .raw {
                pointers.append(stored.baseAddress!.assumingMemoryBound(to: UInt8.self))
            } else {
                let place = planes.address + number * planeByteCount
                try expand(
                    stored, plane.codec, into: UnsafeMutableRawBufferPointer(start: place, count: planeByteCount))
                pointers.append(UnsafePointer(place.assumingMemoryBound(to: UInt8.self)))
            }
        }
        if let packing = header.packing {
            let map = UnsafeRawBufferPointer(rebasing: payload[position..<position + packing.map.byteCount])
            try restore(header, packing, map: map, at: start, window: window)
        }
        unpacked = UnpackedChunk(tensor: header.tensor, chunk: header.chunk, header: header)
    }

    /// Joins a part of the chunk that was unpacked last.
    ///
    /// - Parameters:
    ///   - range: the bytes wanted, on borders of elements.
    ///   - base: the bytes of the base for the range, if the transform needs them.
    ///   - target: receives the range.
    func join(
        _ range: Range<Int>, transform: SkeinTransform, base: UnsafeRawPointer?, into target: UnsafeMutableRawPointer
    ) {
        if let packed, unpacked?.header.packing != nil {
            target.copyMemory(from: packed.whole.address + range.lowerBound, byteCount: range.count)
            return
        }
        let width = pointers.count
        joiner.join(
            pointers, range: range.lowerBound / width..<range.upperBound / width, transform: transform, base: base,
            into: target)
    }

    /// Makes a packed chunk of the words that are stored and its map.
    private func restore(
        _ header: SkeinChunkHeader, _ packing: SkeinPacking, map storedMap: UnsafeRawBufferPointer, at start: Int,
        window: UnsafeRawBufferPointer
    ) throws {
        let buffers =
            try packed
            ?? (
                kept: AlignedBuffer(byteCount: rawByteCount, isZeroed: false),
                map: AlignedBuffer(byteCount: rawByteCount, isZeroed: false),
                whole: AlignedBuffer(byteCount: rawByteCount, isZeroed: false)
            )
        packed = buffers
        let width = pointers.count
        let words = header.byteCount / width
        joiner.join(
            pointers, range: 0..<packing.keptCount, transform: header.transform, base: nil, into: buffers.kept.address)
        let map = UnsafeMutableRawBufferPointer(start: buffers.map.address, count: packing.mapByteCount)
        try expand(storedMap, packing.map.codec, into: map)
        let isRight: Bool
        switch packing.kind {
        case .zeros:
            isRight = SkeinZeros.isMap(UnsafeRawBufferPointer(map), of: words, keeping: packing.keptCount)
            if isRight {
                SkeinZeros.unpack(
                    buffers.kept.address, map: buffers.map.address.assumingMemoryBound(to: UInt8.self), count: words,
                    width: width, into: buffers.whole.address)
            }
        case .repeats:
            let rows = SkeinRows(
                rowByteCount: packing.rowByteCount, range: start..<start + header.byteCount)
            isRight =
                packing.mapByteCount == 4 * rows.count
                && rows.unpack(
                    UnsafeRawBufferPointer(start: buffers.kept.address, count: packing.keptCount * width),
                    map: UnsafeRawBufferPointer(map), window: window, into: buffers.whole.address)
        }
        guard isRight else { throw SkeinChunkHeader.Fault(.badChunk, "the map of what is left out is wrong") }
    }

    private func expand(
        _ stored: UnsafeRawBufferPointer, _ codec: SkeinPlaneCodec, into plane: UnsafeMutableRawBufferPointer
    ) throws(SkeinChunkHeader.Fault) {
        switch codec {
        case .raw: plane.copyMemory(from: stored)
        case .constant: memset(plane.baseAddress!, Int32(stored[0]), plane.count)
        case .zstd: try decompress(stored, into: plane)
        }
    }

    private func decompress(
        _ frame: UnsafeRawBufferPointer, into plane: UnsafeMutableRawBufferPointer
    ) throws(SkeinChunkHeader.Fault) {
        let claimed = ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
        guard claimed == UInt64(plane.count) else {
            throw SkeinChunkHeader.Fault(.badChunk, "a zstd frame does not hold its plane of \(plane.count) bytes")
        }
        let size = ZSTD_decompressDCtx(context, plane.baseAddress, plane.count, frame.baseAddress, frame.count)
        guard ZSTD_isError(size) == 0, size == plane.count else {
            throw SkeinChunkHeader.Fault(.badChunk, "a zstd frame is damaged")
        }
    }
}
