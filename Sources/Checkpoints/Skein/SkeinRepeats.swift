import Glibc
import TensorCore

/// Finds rows that repeat earlier ones of their tensor, as those of embeddings do that were padded, tied or never trained.
///
/// It sees coded chunks in the order of the file. What it remembers of a tensor are hashes of the first bytes of its rows; only a chunk of
/// which many are known is decoded, compared with what they stand for, and coded again without the rows that are equal.
///
/// Safety: one thread at a time calls it, and each sees what the one before it has done; `OrderedChunks` takes care of that.
final class SkeinRepeats: @unchecked Sendable {
    private let tensors: [SkeinTensor]
    private let encoders: LendingPool<SkeinChunkEncoder>
    private let buffers: LendingPool<EncodedChunk>
    private let rawByteCount: Int
    private var table = SkeinRowTable()
    private var tools: Tools?

    /// The tensor whose chunks come, and what is known of it.
    private var entry = 0
    private var fruitlessCount = 0
    /// How far back the row lies that ends in the next chunk, if it was left out; else 0.
    private var carriedDistance = 0
    private var windowHas: [Bool] = []

    /// A chunk is worth a look when an eighth of it seems to be known.
    private static let repeatedInverse = 8
    /// So many looks in vain are enough for a tensor.
    private static let fruitlessLimit = 4

    /// What it takes to look into chunks.
    private struct Tools {
        let decoder: SkeinChunkDecoder
        let raw: AlignedBuffer
        let kept: AlignedBuffer
        let window: AlignedBuffer
    }

    init(
        _ tensors: [SkeinTensor], encoders: LendingPool<SkeinChunkEncoder>, buffers: LendingPool<EncodedChunk>,
        rawByteCount: Int
    ) {
        self.tensors = tensors
        self.encoders = encoders
        self.buffers = buffers
        self.rawByteCount = rawByteCount
    }

    /// Codes a chunk again without the rows that repeat others.
    ///
    /// - Parameters:
    ///   - stored: the chunk, its header first.
    ///   - heads: the hashes of its rows; nil when they are not at hand.
    ///   - number: its number among all chunks; they come one after the other.
    ///   - load: reads an earlier chunk from the file.
    /// - Returns: nil when that is no shorter.
    func packed(
        _ stored: UnsafeRawBufferPointer, checksum: UInt64, heads: [UInt64]?, number: Int,
        load: (UnsafeMutableRawBufferPointer, Int) throws -> SkeinChunkPlace
    ) throws -> EncodedChunk? {
        advance(to: number)
        let carried = carriedDistance
        carriedDistance = 0
        let tensor = tensors[entry]
        let chunk = number - tensor.chunks.lowerBound
        guard fruitlessCount < Self.fruitlessLimit, let rows = tensor.rows(inChunk: chunk) else { return nil }
        let header = try SkeinChunkHeader(stored, storedByteCount: stored.count, expected: checksum)
        guard !header.transform.needsBase, header.packing == nil else { return nil }
        var raw: UnsafeRawBufferPointer?
        if heads == nil { raw = try decoded(stored, header, at: rows.range.lowerBound) }
        var distances = table.distances(
            of: heads ?? raw.map { rows.heads(of: $0) } ?? [], in: rows, windowByteCount: windowByteCount(before: rows),
            entry: entry)
        if rows.bytes(0).lowerBound % rows.rowByteCount != 0 { distances[0] = UInt32(carried) }
        let known = distances.indices.reduce(0) { $0 + (distances[$1] > 0 ? rows.bytes($1).count : 0) }
        guard known * Self.repeatedInverse >= rows.range.count else { return nil }
        let bytes = try raw ?? decoded(stored, header, at: rows.range.lowerBound)
        let kept = try leaveOut(&distances, of: bytes, rows, load: load)
        let mapByteCount = 4 * distances.count
        guard kept.count + mapByteCount <= bytes.count,
            let target = try coded(kept, distances, rows, tensor.descriptor.dtype, header, under: stored.count)
        else {
            fruitlessCount += 1
            return nil
        }
        if rows.range.upperBound % rows.rowByteCount != 0 { carriedDistance = Int(distances[distances.count - 1]) }
        if rows.range.lowerBound < SkeinPacking.windowByteCount, let window = tools?.window {
            UnsafeMutableRawBufferPointer(rebasing: window.mutableBytes[rows.range]).copyMemory(from: bytes)
            windowHas[chunk] = true
        }
        return target
    }

    private func advance(to number: Int) {
        while number >= tensors[entry].chunks.upperBound {
            entry += 1
            fruitlessCount = 0
            carriedDistance = 0
            windowHas = []
        }
    }

    private func windowByteCount(before rows: SkeinRows) -> Int {
        min(rows.range.lowerBound, SkeinPacking.windowByteCount)
    }

    private func takeTools() throws -> Tools {
        let tools =
            try tools
            ?? Tools(
                decoder: SkeinChunkDecoder(rawByteCount: rawByteCount),
                raw: AlignedBuffer(byteCount: rawByteCount, isZeroed: false),
                kept: AlignedBuffer(byteCount: rawByteCount, isZeroed: false),
                window: AlignedBuffer(byteCount: SkeinPacking.windowByteCount, isZeroed: false))
        self.tools = tools
        if windowHas.isEmpty { windowHas = Array(repeating: false, count: tensors[entry].chunks.count) }
        return tools
    }

    /// The bytes of a chunk that was not coded by rows.
    private func decoded(
        _ stored: UnsafeRawBufferPointer, _ header: SkeinChunkHeader, at start: Int
    ) throws -> UnsafeRawBufferPointer {
        let tools = try takeTools()
        try decode(stored, header, at: start, into: tools.raw.address, with: tools.decoder)
        return UnsafeRawBufferPointer(rebasing: tools.raw.bytes[..<header.byteCount])
    }

    private func decode(
        _ stored: UnsafeRawBufferPointer, _ header: SkeinChunkHeader, at start: Int,
        into target: UnsafeMutableRawPointer, with decoder: SkeinChunkDecoder
    ) throws {
        try decoder.unpack(header, UnsafeRawBufferPointer(rebasing: stored[header.headerByteCount...]), at: start)
        decoder.join(0..<header.byteCount, transform: header.transform, base: nil, into: target)
    }

    /// Compares rows with what they seem to repeat and collects those that differ.
    ///
    /// - Parameter distances: set to zero for rows that are kept.
    private func leaveOut(
        _ distances: inout [UInt32], of raw: UnsafeRawBufferPointer, _ rows: SkeinRows,
        load: (UnsafeMutableRawBufferPointer, Int) throws -> SkeinChunkPlace
    ) throws -> UnsafeRawBufferPointer {
        let tools = try takeTools()
        let windowByteCount = windowByteCount(before: rows)
        let start = rows.range.lowerBound
        var keptByteCount = 0
        for number in distances.indices {
            let bytes = rows.bytes(number)
            let here = raw.baseAddress! + (bytes.lowerBound - start)
            if let source = rows.source(
                of: number, distance: Int(distances[number]), windowByteCount: windowByteCount)
            {
                let there: UnsafeRawPointer
                if source.upperBound <= windowByteCount {
                    try fillWindow(source, tools, load: load)
                    there = UnsafeRawPointer(tools.window.address + source.lowerBound)
                } else {
                    there = raw.baseAddress! + (source.lowerBound - start)
                }
                if memcmp(here, there, bytes.count) == 0 { continue }
            }
            distances[number] = 0
            (tools.kept.address + keptByteCount).copyMemory(from: here, byteCount: bytes.count)
            keptByteCount += bytes.count
        }
        return UnsafeRawBufferPointer(rebasing: tools.kept.bytes[..<keptByteCount])
    }

    /// Decodes the chunks of the window that hold a range, as far as that was not done.
    private func fillWindow(
        _ range: Range<Int>, _ tools: Tools, load: (UnsafeMutableRawBufferPointer, Int) throws -> SkeinChunkPlace
    ) throws {
        let tensor = tensors[entry]
        for chunk in tensor.chunks(in: range) where !windowHas[chunk] {
            let place = try load(tools.decoder.input.mutableBytes, tensor.chunks.lowerBound + chunk)
            let stored = UnsafeRawBufferPointer(rebasing: tools.decoder.input.bytes[..<place.storedByteCount])
            let header = try SkeinChunkHeader(
                stored, storedByteCount: place.storedByteCount, expected: place.headerChecksum)
            let start = tensor.range(ofChunk: chunk).lowerBound
            try decode(stored, header, at: start, into: tools.window.address + start, with: tools.decoder)
            windowHas[chunk] = true
        }
    }

    private func coded(
        _ kept: UnsafeRawBufferPointer, _ distances: [UInt32], _ rows: SkeinRows, _ dtype: DType,
        _ header: SkeinChunkHeader, under byteCount: Int
    ) throws -> EncodedChunk? {
        let target = try buffers.take()
        try encoders.with { encoder in
            distances.map(\.littleEndian).withUnsafeBytes {
                encoder.encode(
                    kept: kept, map: $0, rowByteCount: rows.rowByteCount, dtype: dtype, header: header, into: target)
            }
        }
        guard target.byteCount < byteCount.roundedUpToSkeinAlignment else {
            buffers.giveBack(target)
            return nil
        }
        return target
    }
}

extension SkeinTensor {
    /// A row is the shortest slice of the last dimensions of so many bytes.
    private static let leastRowByteCount = 256

    /// The rows in a chunk, if the tensor has rows that are worth looking for.
    func rows(inChunk chunk: Int) -> SkeinRows? {
        guard members == nil else { return nil }
        let dtype = descriptor.dtype
        var elementCount = 1
        for dim in descriptor.shape.dims.dropFirst().reversed() {
            elementCount *= dim
            let bits = elementCount * dtype.bitWidth
            guard bits / 8 >= Self.leastRowByteCount else { continue }
            guard bits % 8 == 0, bits / 8 <= chunkByteCount / 2 else { return nil }
            return SkeinRows(rowByteCount: bits / 8, range: range(ofChunk: chunk))
        }
        return nil
    }
}

extension SkeinRows {
    /// The bytes at the start of a row by which it is known.
    static let headByteCount = 64

    /// A hash of the first bytes of each row; 0 where they do not lie in the chunk.
    ///
    /// - Parameter raw: the bytes of the chunk.
    func heads(of raw: UnsafeRawBufferPointer) -> [UInt64] {
        (0..<count).map { number in
            let bytes = bytes(number)
            guard bytes.lowerBound % rowByteCount == 0, bytes.count >= Self.headByteCount else { return 0 }
            let start = bytes.lowerBound - range.lowerBound
            return SkeinHash.checksum(UnsafeRawBufferPointer(rebasing: raw[start..<start + Self.headByteCount]))
        }
    }
}
