import Kernels
import Synchronization

/// Finds, for several streams of numbers over one tensor, which entries are the k largest by magnitude.
///
/// Of equal magnitudes those that come first in memory count as larger. Two passes find the magnitude of the last entry,
/// two more where it lies if others are equal. Magnitudes are compared in F32.
final class LargestEntries: Sendable {
    /// Entries above a magnitude, and those that equal it up to a flat index.
    struct Cut: Sendable {
        var key: UInt32
        var lastEqualIndex: Int

        static let all = Cut(key: 0, lastEqualIndex: .max)
        static let none = Cut(key: .max, lastEqualIndex: -1)

        @inline(__always)
        func contains(_ magnitudeKey: UInt32, at index: Int) -> Bool {
            magnitudeKey > key || (magnitudeKey == key && index <= lastEqualIndex)
        }
    }

    static let passCount = 4

    private let state: Mutex<[Stream]>

    private struct Stream {
        let count: Int
        var cut: Cut
        var selection: MagnitudeSelection?
        /// Of the entries that equal the cut, how many are among the largest; nil when all are, or once they are found.
        var wantedEqualCount: Int?
        /// How many entries of each chunk equal the cut.
        var equalCounts: [Int: Int] = [:]
        /// The chunk in which the last entry lies.
        var lastChunk = -1

        /// - Parameter count: how many entries are wanted; nil wants all.
        init(count: Int?) {
            self.count = count ?? 0
            cut = count == nil ? .all : .none
        }

        /// What counts for a pass; made when the first numbers come, as it takes half a megabyte.
        mutating func counter() -> MagnitudeSelection.Counter? {
            if selection == nil, count > 0 { selection = MagnitudeSelection(rank: count) }
            return selection?.counter
        }
    }

    /// - Parameter counts: for each stream how many entries are wanted, at most as many as it has; nil wants all.
    init(counts: [Int?]) { state = Mutex(counts.map { Stream(count: $0) }) }

    var byteCount: Int { state.withLock { $0.count { $0.count > 0 } } * MagnitudeSelection.binCount * 8 }

    /// For each stream which entries are among the largest, after all passes.
    var cuts: [Cut] { state.withLock { $0.map(\.cut) } }

    /// Shows a chunk's numbers to a stream.
    ///
    /// - Parameter forEachBlock: calls its argument with the flat index of the first number, the count and the numbers of one
    ///   block after the other, in order.
    func observe<T: ElementwiseScalar>(
        _ chunk: Int, pass: Int, stream: Int,
        _ forEachBlock: ((_ start: Int, _ count: Int, _ values: UnsafePointer<T>) -> Void) -> Void
    ) {
        switch pass {
        case 0, 1:
            guard let counter = state.withLock({ $0[stream].counter() }) else { return }
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: MagnitudeSelection.binCount) { counts in
                counts.initialize(repeating: 0)
                forEachBlock { _, count, values in counter.count(values, count: count, into: counts.baseAddress!) }
                state.withLock { $0[stream].selection?.absorb(counts.baseAddress!) }
            }
        case 2:
            guard let key = state.withLock({ $0[stream].wantedEqualCount == nil ? nil : $0[stream].cut.key }) else {
                return
            }
            var equal = 0
            forEachBlock { _, count, values in
                for i in 0..<count where values[i].magnitudeKey == key { equal += 1 }
            }
            state.withLock { $0[stream].equalCounts[chunk] = equal }
        default:
            let (wanted, key, isHere) = state.withLock {
                ($0[stream].wantedEqualCount, $0[stream].cut.key, $0[stream].lastChunk == chunk)
            }
            guard isHere, var wanted else { return }
            var last = Int.max
            forEachBlock { start, count, values in
                guard wanted > 0 else { return }
                for i in 0..<count where values[i].magnitudeKey == key {
                    wanted -= 1
                    if wanted == 0 {
                        last = start + i
                        return
                    }
                }
            }
            state.withLock { $0[stream].cut.lastEqualIndex = last }
        }
    }

    func finish(pass: Int) {
        state.withLock { streams in
            for place in streams.indices {
                switch pass {
                case 0: streams[place].selection?.finishPass()
                case 1: Self.readSelection(of: &streams[place])
                case 2: Self.locateChunk(of: &streams[place])
                default: streams[place].wantedEqualCount = nil
                }
            }
        }
    }

    private static func readSelection(of stream: inout Stream) {
        stream.selection?.finishPass()
        guard let found = stream.selection?.result else { return }
        stream.selection = nil
        let wanted = stream.count - found.largerCount
        stream.cut = Cut(key: found.key, lastEqualIndex: .max)
        stream.wantedEqualCount = wanted < found.equalCount ? wanted : nil
    }

    private static func locateChunk(of stream: inout Stream) {
        guard var remaining = stream.wantedEqualCount else { return }
        for (chunk, count) in stream.equalCounts.sorted(by: { $0.key < $1.key }) {
            stream.lastChunk = chunk
            if remaining <= count { break }
            remaining -= count
        }
        stream.wantedEqualCount = remaining
        stream.equalCounts = [:]
    }
}
