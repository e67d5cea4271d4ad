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
        planes = try AlignedBuffer(byteCount: rawByteCount, isZeroed: false)
        input = try AlignedBuffer(
            byteCount: SkeinChunkHeader.maximumByteCount + rawByteCount, isZeroed: false)
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
    /// - Parameter payload: stays where it is until the next chunk.
    /// - Throws: `SkeinChunkHeader.Fault` when the payload does not decode to the planes.
    func unpack(
        _ header: SkeinChunkHeader, _ payload: UnsafeRawBufferPointer
    ) throws(SkeinChunkHeader.Fault) {
        unpacked = nil
        let planeByteCount = header.byteCount / header.planes.count
        pointers.removeAll(keepingCapacity: true)
        var position = 0
        for (number, plane) in header.planes.enumerated() {
            let stored = UnsafeRawBufferPointer(rebasing: payload[position..<position + plane.byteCount])
            position += plane.byteCount
            let place = planes.address + number * planeByteCount
            switch plane.codec {
            case .raw:
                pointers.append(stored.baseAddress!.assumingMemoryBound(to: UInt8.self))
                continue
            case .constant: memset(place, Int32(stored[0]), planeByteCount)
            case .zstd: try decompress(stored, into: UnsafeMutableRawBufferPointer(start: place, count: planeByteCount))
            }
            pointers.append(UnsafePointer(place.assumingMemoryBound(to: UInt8.self)))
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
        let width = pointers.count
        joiner.join(
            pointers, range: range.lowerBound / width..<range.upperBound / width, transform: transform, base: base,
            into: target)
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
