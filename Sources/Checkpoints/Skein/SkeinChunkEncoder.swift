import Glibc
import TensorCore

/// A chunk that is ready for the file: header, payload and padding.
final class EncodedChunk: Sendable {
    private let buffer: AlignedBuffer
    // Safety: written by the encoder that holds the chunk, read after it was handed on.
    /// Header and payload.
    nonisolated(unsafe) fileprivate(set) var storedByteCount = 0
    nonisolated(unsafe) fileprivate(set) var headerChecksum: UInt64 = 0
    nonisolated(unsafe) fileprivate(set) var needsBase = false
    nonisolated(unsafe) fileprivate(set) var isPlain = false
    nonisolated(unsafe) fileprivate(set) var isPacked = false
    /// The hashes by which its rows are known; see `SkeinRepeats`.
    nonisolated(unsafe) var rowHeads: [UInt64] = []

    /// Takes memory for a chunk.
    ///
    /// - Parameter rawByteCount: the most bytes of tensor data in a chunk.
    init(rawByteCount: Int) throws(IOError) {
        buffer = try AlignedBuffer(
            byteCount: Self.payloadOffset + rawByteCount + SkeinSeal.alignment, isZeroed: false)
    }

    /// The payload is made before its header, whose size it decides: the header ends here.
    private static let payloadOffset = SkeinChunkHeader.maximumPackedByteCount.roundedUpToSkeinAlignment

    /// Header, payload and padding.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: byteCount) }
    var byteCount: Int { storedByteCount.roundedUpToSkeinAlignment }
    /// All of the memory.
    var room: UnsafeMutableRawBufferPointer { buffer.mutableBytes }
    fileprivate var payload: UnsafeMutableRawPointer { buffer.address + Self.payloadOffset }
    private var start: UnsafeMutableRawPointer { payload - headerByteCount }
    nonisolated(unsafe) private var headerByteCount = 0

    /// Puts a header before the payload and zeros behind it.
    fileprivate func finish(_ header: SkeinChunkHeader) {
        var header = header
        let count = header.payloadByteCount
        header.payloadChecksum = SkeinHash.tree(UnsafeRawBufferPointer(start: payload, count: count)).low
        headerByteCount = header.headerByteCount
        storedByteCount = headerByteCount + count
        headerChecksum = header.store(to: start)
        needsBase = header.transform.needsBase
        isPlain = header.isPlain
        isPacked = header.packing != nil
        memset(payload + count, 0, byteCount - storedByteCount)
    }
}

/// Codes chunks one after the other with tools of its own; each thread has one.
final class SkeinChunkEncoder {
    private let compressor: PlaneCompressor
    private let splitter = BytePlanes()
    private let planes: AlignedBuffer
    private let sample: AlignedBuffer
    private let sampleBase: AlignedBuffer
    private let samplePlanes: AlignedBuffer
    /// What a packed chunk stores, and its map.
    private let kept: AlignedBuffer
    private let map: AlignedBuffer

    /// Chunks of fewer bytes are stored as they are: a Huffman table would eat what it saves.
    private static let smallByteCount = 512
    /// The sample that decides for or against the base.
    private static let sampleRunCount = 16
    private static let sampleRunElementCount = 256
    /// The share of zeros from which they are left out: one word in four.
    private static let zerosInverse = 4

    /// Takes memory for a chunk.
    ///
    /// - Parameter rawByteCount: the most bytes of tensor data in a chunk.
    init(level: SkeinLevel, rawByteCount: Int) throws(IOError) {
        compressor = try PlaneCompressor(level: level)
        planes = try AlignedBuffer(byteCount: rawByteCount, isZeroed: false)
        let sampleByteCount = Self.sampleRunCount * Self.sampleRunElementCount * SkeinChunkHeader.maximumPlaneCount
        sample = try AlignedBuffer(byteCount: sampleByteCount)
        sampleBase = try AlignedBuffer(byteCount: sampleByteCount)
        samplePlanes = try AlignedBuffer(byteCount: sampleByteCount)
        kept = try AlignedBuffer(byteCount: rawByteCount, isZeroed: false)
        map = try AlignedBuffer(byteCount: SkeinPacking.zeroMapByteCount(words: rawByteCount), isZeroed: false)
    }

    /// Codes a chunk.
    ///
    /// - Parameters:
    ///   - base: the bytes of the base at the same place, used when the chunk gains by them.
    func encode(
        _ raw: UnsafeRawBufferPointer, tensor: Int, chunk: Int, dtype: DType, base: UnsafeRawBufferPointer?,
        into target: EncodedChunk
    ) {
        var header = SkeinChunkHeader(
            tensor: tensor, chunk: chunk, transform: .none, byteCount: raw.count, planes: [])
        if raw.count >= Self.smallByteCount {
            let width = dtype.scalarByteCount
            let usesBase = base.map { isNearer(raw, to: $0, width: width, dtype: dtype) } ?? false
            header.transform = usesBase ? .delta(for: dtype) : .plain(for: dtype)
            if usesBase, let base {
                header.baseChecksum = SkeinHash.tree(base).low
                header.planes = compress(
                    raw, width: width, transform: header.transform, base: base.baseAddress, into: target.payload)
            } else if let keptCount = packZeros(raw, width: width) {
                pack(
                    UnsafeRawBufferPointer(rebasing: kept.bytes[..<(keptCount * width)]), width: width, kind: .zeros,
                    map: UnsafeRawBufferPointer(
                        rebasing: map.bytes[..<SkeinPacking.zeroMapByteCount(words: raw.count / width)]),
                    into: target, header: &header)
            } else {
                header.planes = compress(
                    raw, width: width, transform: header.transform, base: nil, into: target.payload)
            }
        }
        if header.planes.isEmpty || header.chunkByteCount >= SkeinChunkHeader.plainChunkByteCount(of: raw.count) {
            // Nothing was gained: the bytes as they are need no joining.
            header.planes = [SkeinChunkHeader.Plane(codec: .raw, byteCount: raw.count)]
            header.transform = .none
            header.packing = nil
            header.baseChecksum = 0
            target.payload.copyMemory(from: raw.baseAddress!, byteCount: raw.count)
        }
        target.finish(header)
    }

    /// Codes a chunk of which some rows are left out.
    ///
    /// - Parameters:
    ///   - kept: the rows that are stored, one behind the other.
    ///   - map: 4 bytes for each row; with what is kept it takes no more than the chunk does.
    ///   - header: that of the chunk when it was coded as a whole.
    func encode(
        kept: UnsafeRawBufferPointer, map: UnsafeRawBufferPointer, rowByteCount: Int, dtype: DType,
        header: SkeinChunkHeader, into target: EncodedChunk
    ) {
        var header = SkeinChunkHeader(
            tensor: header.tensor, chunk: header.chunk, transform: .plain(for: dtype), byteCount: header.byteCount,
            planes: [])
        pack(
            kept, width: dtype.scalarByteCount, kind: .repeats, map: map, rowByteCount: rowByteCount, into: target,
            header: &header)
        target.finish(header)
    }

    /// Compresses what is kept of a chunk and the map behind it.
    private func pack(
        _ kept: UnsafeRawBufferPointer, width: Int, kind: SkeinPacking.Kind, map: UnsafeRawBufferPointer,
        rowByteCount: Int = 0, into target: EncodedChunk, header: inout SkeinChunkHeader
    ) {
        header.planes =
            kept.isEmpty
            ? Array(repeating: SkeinChunkHeader.Plane(codec: .raw, byteCount: 0), count: width)
            : compress(kept, width: width, transform: header.transform, base: nil, into: target.payload)
        let stored = compressor.compress(map, isDelta: false, into: target.payload + header.payloadByteCount)
        header.packing = SkeinPacking(
            kind: kind, map: stored, keptCount: kept.count / width, mapByteCount: map.count,
            rowByteCount: rowByteCount)
    }

    /// Packs a chunk of which a sample has many zeros.
    ///
    /// - Returns: how many words are kept; nil when all or none are, or they and the map would take more than the chunk.
    private func packZeros(_ raw: UnsafeRawBufferPointer, width: Int) -> Int? {
        let taken = takeSample(raw, width: width, into: sample)
        let mapBytes = map.address.assumingMemoryBound(to: UInt8.self)
        func keptCount(_ bytes: UnsafeRawBufferPointer) -> Int {
            SkeinZeros.pack(
                bytes.baseAddress!, count: bytes.count / width, width: width, into: kept.address, map: mapBytes)
        }
        let zeros = taken.count / width - keptCount(taken)
        guard zeros * Self.zerosInverse >= taken.count / width else { return nil }
        let count = keptCount(raw)
        let fits = count * width + SkeinPacking.zeroMapByteCount(words: raw.count / width) <= raw.count
        return count > 0 && fits ? count : nil
    }

    private func compress(
        _ raw: UnsafeRawBufferPointer, width: Int, transform: SkeinTransform, base: UnsafeRawPointer?,
        into payload: UnsafeMutableRawPointer
    ) -> [SkeinChunkHeader.Plane] {
        let count = raw.count / width
        let split = planeBytes(raw, width: width, transform: transform, base: base, scratch: planes)
        var result: [SkeinChunkHeader.Plane] = []
        result.reserveCapacity(width)
        var position = 0
        for number in 0..<width {
            let plane = UnsafeRawBufferPointer(rebasing: split[number * count..<(number + 1) * count])
            let stored = compressor.compress(
                plane, isDelta: transform.needsBase, into: payload + position)
            result.append(stored)
            position += stored.byteCount
        }
        return result
    }

    /// The planes one after the other; one plane of unchanged bytes is the bytes themselves.
    private func planeBytes(
        _ raw: UnsafeRawBufferPointer, width: Int, transform: SkeinTransform, base: UnsafeRawPointer?,
        scratch: AlignedBuffer
    ) -> UnsafeRawBufferPointer {
        if width == 1, transform == .none { return raw }
        let target = scratch.address.assumingMemoryBound(to: UInt8.self)
        splitter.split(
            raw.baseAddress!, count: raw.count / width, width: width, transform: transform, base: base, into: target)
        return UnsafeRawBufferPointer(start: target, count: raw.count)
    }

    /// Whether a sample of the chunk has less entropy as a difference to the base than by itself.
    private func isNearer(
        _ raw: UnsafeRawBufferPointer, to base: UnsafeRawBufferPointer, width: Int, dtype: DType
    ) -> Bool {
        let taken = takeSample(raw, width: width, into: sample)
        _ = takeSample(base, width: width, into: sampleBase)
        let plain = entropy(of: taken, width: width, transform: .plain(for: dtype), base: nil)
        let delta = entropy(of: taken, width: width, transform: .delta(for: dtype), base: sampleBase.address)
        return delta < plain
    }

    /// Copies runs of elements, spread evenly.
    private func takeSample(
        _ raw: UnsafeRawBufferPointer, width: Int, into target: AlignedBuffer
    ) -> UnsafeRawBufferPointer {
        let count = raw.count / width
        let run = min(Self.sampleRunElementCount, count / Self.sampleRunCount)
        let step = (count - run) / (Self.sampleRunCount - 1)
        let runByteCount = run * width
        for piece in 0..<Self.sampleRunCount {
            (target.address + piece * runByteCount).copyMemory(
                from: raw.baseAddress! + piece * step * width, byteCount: runByteCount)
        }
        return UnsafeRawBufferPointer(start: target.address, count: Self.sampleRunCount * runByteCount)
    }

    /// The sum over the planes, in bits an element.
    private func entropy(
        of bytes: UnsafeRawBufferPointer, width: Int, transform: SkeinTransform, base: UnsafeRawPointer?
    ) -> Double {
        let count = bytes.count / width
        let split = planeBytes(bytes, width: width, transform: transform, base: base, scratch: samplePlanes)
        return (0..<width).reduce(0.0) { sum, number in
            sum + compressor.entropy(of: UnsafeRawBufferPointer(rebasing: split[number * count..<(number + 1) * count]))
        }
    }
}
