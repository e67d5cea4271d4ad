import Kernels
import Synchronization

/// Finds, for several streams of numbers over one tensor or over the whole model, which are the k largest by magnitude.
///
/// Magnitudes are compared in F32. A tensor of one chunk goes through all steps of its searches in the first pass, while its
/// bytes are in the cache.
final class LargestEntries: Sendable {
    private let elementCount: Int
    private let isOneChunk: Bool
    private let longest: Int
    private let usualCount: Int
    /// How many of the searches may count in tables.
    private let tableCount: Int
    /// All searches, and a copy of one of them.
    private let searchByteCount: Int
    private let state: Mutex<[MagnitudeSearch]>

    /// Looks for the largest magnitudes of several streams at once.
    ///
    /// - Parameters:
    ///   - counts: for each stream how many numbers are wanted, at most as many as it has; nil wants all.
    ///   - elementCount: the numbers of each stream.
    ///   - equals: whether of equal magnitudes the first in one tensor count as larger, or all of them belong to the largest.
    init(counts: [Int?], elementCount: Int, equals: MagnitudeCut.Equals) {
        self.elementCount = elementCount
        let searches = counts.map { MagnitudeSearch(wanted: $0, elementCount: elementCount, equals: equals) }
        let isSearching = searches.contains { !$0.step.isDone }
        isOneChunk = equals == .firstInTensor && elementCount <= MergeChunk.capacity
        let (most, usual) =
            isOneChunk ? (1, 1) : equals == .all ? (MagnitudeSearch.longestOverModel, 2) : (MagnitudeSearch.longest, 1)
        longest = isSearching ? most : 0
        usualCount = isSearching ? usual : 0
        tableCount = searches.count(where: \.mayCount)
        searchByteCount = searches.reduce(0) { $0 + $1.byteCount } + (searches.map(\.byteCount).max() ?? 0)
        state = Mutex(searches)
    }

    /// As many as the longest search takes; `isSearching` tells whether the next one comes about.
    var passCount: Int { longest }
    /// How often the streams are read when samples do not mislead and few magnitudes are equal.
    var readingCount: Int { usualCount }
    var isSearching: Bool { state.withLock { $0.contains { !$0.step.isDone } } }
    /// Memory from the first pass to the last.
    var byteCount: Int { isOneChunk ? 0 : searchByteCount }
    /// Memory that every thread takes in `observe`.
    var scratchByteCount: Int {
        tableCount * MagnitudeSelection.binCount * MemoryLayout<UInt32>.stride + (isOneChunk ? searchByteCount : 0)
    }

    /// For each stream which numbers are the largest, after all passes.
    var cuts: [MagnitudeCut] { state.withLock { $0.map(\.cut) } }

    /// Does what each search needs of a chunk.
    func observe(_ streams: inout some NumberStreams) {
        repeat {
            search(&streams)
            if isOneChunk { advance() }
        } while isOneChunk && isSearching
    }

    /// Ends a pass.
    func finishPass() {
        if !isOneChunk { advance() }
    }

    private func advance() {
        state.withLock { searches in
            for stream in searches.indices { searches[stream].advance() }
        }
    }

    private func search(_ streams: inout some NumberStreams) {
        let tasks = state.withLock { $0.map(\.task) }
        let chunk = streams.chunk
        var works = tasks.enumerated().compactMap { stream, task in
            ChunkSearch(task, stream: stream, chunk: chunk.number, elementCount: elementCount)
        }
        for place in works.indices { works[place].sample(&streams) }
        guard works.contains(where: \.isReading) else { return deliver(works) }
        let counting = works.indices.filter { works[$0].counter != nil }
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: counting.count * MagnitudeSelection.binCount) {
            tables in
            tables.initialize(repeating: 0)
            for (number, place) in counting.enumerated() {
                works[place].table = tables.baseAddress.map { $0 + number * MagnitudeSelection.binCount }
            }
            chunk.forEachBlock { offset, count in
                for place in works.indices where works[place].isReading {
                    let values = streams.read(works[place].stream, from: offset, count: count)
                    works[place].take(values, start: chunk.range.lowerBound + offset, count: count)
                }
            }
            deliver(works)
        }
    }

    private func deliver(_ works: [ChunkSearch]) {
        state.withLock { searches in
            for work in works { work.deliver(to: &searches[work.stream]) }
        }
    }
}
