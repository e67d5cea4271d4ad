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
    /// Room for the bytes of the base.
    let base: AlignedBuffer

    /// - Parameters:
    ///   - rawByteCount: the most bytes of tensor data in a chunk.
    ///   - usesBase: whether there are chunks that need a base.
    init(rawByteCount: Int, usesBase: Bool) throws(IOError) {
        planes = try AlignedBuffer(byteCount: rawByteCount, isZeroed: false)
        input = try AlignedBuffer(
            byteCount: SkeinChunkHeader.maximumByteCount + rawByteCount, isZeroed: false)
        output = try AlignedBuffer(byteCount: rawByteCount, isZeroed: false)
        base = try AlignedBuffer(byteCount: usesBase ? rawByteCount : 0, isZeroed: false)
        guard let context = ZSTD_createDCtx() else {
            throw IOError(
                code: "io.memory", message: "cannot allocate a decompressor", file: nil, hint: "lower --threads")
        }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Decodes a part of a chunk whose checksums were right.
    ///
    /// - Parameters:
    ///   - range: the bytes wanted, on borders of elements.
    ///   - base: the bytes of the base for the range, if the transform needs them.
    ///   - target: receives the range.
    /// - Throws: `SkeinChunkHeader.Fault` when the payload does not decode to the planes.
    func decode(
        _ header: SkeinChunkHeader, _ payload: UnsafeRawBufferPointer, range: Range<Int>, base: UnsafeRawPointer?,
        into target: UnsafeMutableRawPointer
    ) throws(SkeinChunkHeader.Fault) {
        let width = header.planes.count
        let planeByteCount = header.byteCount / width
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
        joiner.join(
            pointers, range: range.lowerBound / width..<range.upperBound / width, transform: header.transform,
            base: base, into: target)
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
