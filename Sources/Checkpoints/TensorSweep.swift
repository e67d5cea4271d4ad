import TensorCore

/// A way through tensors chunk by chunk, on several threads, that takes a window of memory for each thread however large they are.
///
/// The borders of chunks depend on the tensors alone, never on threads or memory, and results come in the order of tensors and
/// chunks: sums over them are the same everywhere. Chunks that decode together are read by one thread, one after the other, so
/// that nothing is decoded twice.
package struct TensorSweep: Sendable {
    /// One tensor as it lies in one checkpoint, or in several, with as many elements in each.
    package struct Item: Sendable {
        fileprivate let sources: [Source]
        /// Elements of a chunk; the last one may have fewer.
        fileprivate let chunkCount: Int

        /// Describes the way through a tensor.
        ///
        /// - Parameter chunkCount: elements of a chunk, as many as fill whole bytes and blocks.
        package init(_ places: [(reader: any CheckpointReader, index: Int)], chunkCount: Int) {
            precondition(chunkCount > 0, "chunks have elements")
            sources = places.map { Source(reader: $0.reader, index: $0.index, tensor: $0.reader.descriptors[$0.index]) }
            self.chunkCount = chunkCount
        }

        fileprivate var elementCount: Int { sources[0].tensor.elementCount }

        /// What is best read by one thread.
        fileprivate var pieces: [Range<Int>] {
            let size = sources.map { $0.pieceCount(chunkCount: chunkCount) }.max() ?? chunkCount
            return chunkRanges(of: 0..<elementCount, by: size)
        }
    }

    /// A run of elements of a tensor.
    package struct Chunk {
        /// The number of the item.
        package let item: Int
        package let elements: Range<Int>
        /// The bytes of the elements, in the order of the item's checkpoints.
        package let parts: [UnsafeRawBufferPointer]
    }

    private let items: [Item]

    package init(_ items: [Item]) { self.items = items }

    /// The memory that a thread takes for tensors that are not mapped.
    package var workingByteCount: Int {
        items.map { item in
            item.sources.reduce(0) {
                $0 + $1.windowByteCount(chunkCount: item.chunkCount) + $1.reader.decodingByteCount(of: $1.index)
            }
        }.max() ?? 0
    }

    /// The bytes that a sweep reads.
    package var byteCount: Int {
        items.reduce(0) { sum, item in sum + item.sources.reduce(0) { $0 + $1.tensor.byteCount } }
    }

    /// Works on all chunks of all tensors.
    ///
    /// - Parameter body: called from several threads at once.
    /// - Returns: for every item the results of its chunks in their order.
    /// - Throws: `FormatError` when stored data is damaged, `IOError` when there is no memory to decode it, and what `body` throws.
    package func map<Result: Sendable>(
        threads: Int, _ body: @Sendable (Chunk) throws -> Result
    ) throws -> [[Result]] {
        let pieces = items.enumerated().flatMap { number, item in item.pieces.map { (item: number, elements: $0) } }
        let pools = pools
        let found = try parallelMap(count: pieces.count, threads: threads) { number in
            var results: [Result] = []
            try forEachChunk(of: pieces[number].elements, in: pieces[number].item, pools) {
                results.append(try body($0))
            }
            return results
        }
        var results = [[Result]](repeating: [], count: items.count)
        for (piece, part) in zip(pieces, found) { results[piece.item] += part }
        return results
    }

    /// Works on all tensors, each on one thread, for what has to see their bytes in order.
    ///
    /// - Parameter body: called from several threads at once, with the number of an item and a way through its chunks.
    /// - Returns: the results of all items in their order.
    /// - Throws: as `map`.
    package func mapTensors<Result: Sendable>(
        threads: Int,
        _ body: @Sendable (_ item: Int, _ forEachChunk: ((Chunk) throws -> Void) throws -> Void) throws -> Result
    ) throws -> [Result] {
        let pools = pools
        return try parallelMap(count: items.count, threads: threads) { number in
            try body(number) { try forEachChunk(of: 0..<items[number].elementCount, in: number, pools, $0) }
        }
    }

    /// Memory for the windows on the checkpoints of items, by their places.
    private var pools: [BufferPool] {
        (0..<(items.map(\.sources.count).max() ?? 0)).map { place in
            BufferPool(
                byteCount: items.map { item in
                    place < item.sources.count
                        ? item.sources[place].windowByteCount(chunkCount: item.chunkCount) : 0
                }.max() ?? 0)
        }
    }

    /// Reads a part of a tensor, chunk by chunk.
    private func forEachChunk(
        of elements: Range<Int>, in number: Int, _ pools: [BufferPool], _ body: (Chunk) throws -> Void
    ) throws {
        let item = items[number]
        let windows = try zip(item.sources, pools).map { source, pool in
            try TensorWindow(source.reader, source.index, in: source.tensor.layout.byteRange(of: elements), pool: pool)
        }
        for elements in chunkRanges(of: elements, by: item.chunkCount) {
            let ranges = item.sources.map { $0.tensor.layout.byteRange(of: elements) }
            try Self.withParts(Array(zip(windows, ranges))) { parts in
                try body(Chunk(item: number, elements: elements, parts: parts))
            }
        }
    }

    private static func withParts(
        _ windows: [(TensorWindow, Range<Int>)], _ parts: [UnsafeRawBufferPointer] = [],
        _ body: ([UnsafeRawBufferPointer]) throws -> Void
    ) throws {
        guard parts.count < windows.count else { return try body(parts) }
        let (window, range) = windows[parts.count]
        return try window.withBytes(range) { try withParts(windows, parts + [$0], body) }
    }
}

/// One tensor of one checkpoint.
private struct Source: Sendable {
    let reader: any CheckpointReader
    let index: Int
    let tensor: TensorDescriptor

    /// How many elements are best read together: all of a tensor that decodes only whole, so that it is decoded once, else as
    /// many chunks as lie in a piece of the format.
    func pieceCount(chunkCount: Int) -> Int {
        guard reader.canReadRanges(of: index) else { return max(tensor.elementCount, 1) }
        let together = reader.decodedTogetherByteCount(of: index)
        let chunk = tensor.layout.byteRange(of: 0..<chunkCount).count
        return chunkCount * max(1, (together + chunk - 1) / chunk)
    }

    /// The size of the window for a tensor that is read in ranges.
    func windowByteCount(chunkCount: Int) -> Int {
        guard !reader.isMapped(index), reader.canReadRanges(of: index) else { return 0 }
        let elements = min(tensor.elementCount, chunkCount)
        return max(tensor.layout.byteRange(of: 0..<elements).count, reader.decodedTogetherByteCount(of: index))
    }
}
