import Synchronization
import SystemPackage
import TensorCore

/// Hashes a file of which pieces come from several threads, in any order, as they are read for something else.
///
/// A piece is summed up by the thread that brings it, while it is in the cache; of it a sixteenth of its size waits for what comes
/// before. What comes far too early is read from the file when it is its turn, and what nobody brings at the end.
package final class FileHasher: Sendable {
    private let file: MappedFile
    /// What is to come in pieces; the bytes between are read when it is their turn.
    private let expected: [Range<Int>]
    private let reach: Int
    private let state = Mutex(State())

    private struct State {
        var hash = BlockwiseHash()
        /// The end of the bytes that came or were read without a gap.
        var position = 0
        /// The first expected range that ends behind it.
        var next = 0
        /// Pieces behind a gap, by the place of their first byte.
        var waiting: [Int: (end: Int, sums: BlockwiseHash.Sums?)] = [:]
        /// Of the whole file, once it was asked for.
        var result: ContentHash?

        func needsPiece(at place: Int) -> Bool { place >= position && waiting[place] == nil }
    }

    /// Begins with a file.
    ///
    /// - Parameters:
    ///   - ranges: where pieces are to come from, in any order.
    ///   - reach: how far ahead of what was hashed pieces are summed up: what waits takes a sixteenth of it.
    /// - Throws: `IOError` when the file cannot be read, or has become too short for the ranges.
    package init(
        of path: FilePath, expecting ranges: some Sequence<Range<Int>>, reach: Int = 128 << 20
    ) throws(IOError) {
        self.reach = reach
        file = try MappedFile(path)
        expected = ranges.filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
        guard expected.allSatisfy({ $0.upperBound <= file.byteCount }) else {
            throw .changed(path)
        }
    }

    package var byteCount: Int { file.byteCount }

    /// Takes a piece of bytes that lie in the file from a place on. One that came before is left out.
    package func take(_ piece: Range<Int>, of bytes: UnsafeRawBufferPointer, at start: Int) {
        let (place, end) = (start + piece.lowerBound, start + piece.upperBound)
        let (isNeeded, isNear) = state.withLock { ($0.needsPiece(at: place), end - $0.position <= reach) }
        guard !piece.isEmpty, isNeeded else { return }
        let sums = isNear ? BlockwiseHash.Sums(of: piece, in: bytes, at: start, of: byteCount) : nil
        state.withLock { state in
            guard state.needsPiece(at: place) else { return }
            state.waiting[place] = (end, sums)
            advance(&state)
        }
    }

    /// Goes on as far as nothing lacks.
    private func advance(_ state: inout State) {
        while true {
            while state.next < expected.count, expected[state.next].upperBound <= state.position { state.next += 1 }
            let start = state.next < expected.count ? expected[state.next].lowerBound : byteCount
            if start > state.position {
                read(to: start, &state)
            } else if let piece = state.waiting.removeValue(forKey: state.position) {
                // A block may begin in bytes before those that the piece was taken of.
                read(to: piece.sums?.start ?? piece.end, &state)
                if let sums = piece.sums { state.hash.append(sums) }
                state.position = piece.end
            } else {
                return
            }
        }
    }

    private func read(to end: Int, _ state: inout State) {
        file.withUnsafeBytes { state.hash.append($0, to: end) }
        state.position = end
    }

    /// The hash of the whole file, when no more pieces come.
    package func finish() -> ContentHash {
        state.withLock { state in
            if let result = state.result { return result }
            read(to: byteCount, &state)
            let result = file.withUnsafeBytes { state.hash.finish($0) }
            state.result = result
            return result
        }
    }
}
