import Synchronization
import SystemPackage
import TensorCore

/// Part of a tensor that lies in a mapped file as it is.
package struct StoredPiece: Sendable {
    /// The whole tensor.
    package let bytes: TensorBytes
    /// The part, in the tensor.
    package let range: Range<Int>
    /// Where the tensor begins in the file.
    package let offset: Int
    /// Whether nobody reads the part any more, so that its pages may go.
    package let isDone: Bool

    package init(_ bytes: TensorBytes, _ range: Range<Int>, offset: Int, isDone: Bool) {
        self.bytes = bytes
        self.range = range
        self.offset = offset
        self.isDone = isDone
    }

    fileprivate var place: Range<Int> { offset + range.lowerBound..<offset + range.upperBound }

    fileprivate func release() { if isDone { bytes.doneWith(range) } }
}

/// Hashes a file of which pieces come from several threads, nearly in order, as they are read for something else.
///
/// Bytes are hashed in the order of the file. A piece that comes early waits where it is mapped; the thread that brings what was
/// missing hashes those behind it as well, while the others go on. What nobody brings is read from the file.
package final class FileHasher: Sendable {
    package let path: FilePath
    private let file: MappedFile
    /// What is to come in pieces; the bytes between are read when it is their turn.
    private let expected: [Range<Int>]
    // Safety: used by the one thread that has set `isBusy`, and at the end.
    private nonisolated(unsafe) let hash = ContentHash.Accumulator()
    private let state = Mutex(State())

    private struct State {
        /// The end of what was hashed, or is being.
        var position = 0
        /// The first expected range that ends behind it.
        var next = 0
        var waiting: [Int: StoredPiece] = [:]
        var isBusy = false
        /// Of the whole file, once it was asked for.
        var result: ContentHash?
    }

    /// Begins with a file.
    ///
    /// - Parameter ranges: where pieces are to come from, in any order.
    /// - Throws: `IOError` when the file cannot be read, or has become too short for the ranges.
    package init(of path: FilePath, expecting ranges: some Sequence<Range<Int>>) throws(IOError) {
        self.path = path
        file = try MappedFile(path)
        expected = ranges.filter { !$0.isEmpty }.sorted { $0.lowerBound < $1.lowerBound }
        guard expected.allSatisfy({ $0.upperBound <= file.byteCount }) else {
            throw .changed(path)
        }
    }

    package var byteCount: Int { file.byteCount }

    /// Takes a piece, and hashes what can be hashed with it. A piece that came before is left out.
    package func take(_ piece: StoredPiece) {
        let (isLate, isMine) = state.withLock { state in
            guard piece.place.lowerBound >= state.position, !piece.range.isEmpty else { return (true, false) }
            state.waiting[piece.place.lowerBound] = piece
            guard !state.isBusy else { return (false, false) }
            state.isBusy = true
            return (false, true)
        }
        if isLate { piece.release() }
        guard isMine else { return }
        while let turn = state.withLock({ nextTurn(&$0) }) {
            switch turn {
            case .piece(let piece):
                piece.bytes.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[piece.range])) }
                piece.release()
            case .gap(let range): read(range)
            }
        }
    }

    private enum Turn {
        case piece(StoredPiece)
        case gap(Range<Int>)
    }

    /// What is to be hashed next; nil ends the work until that comes.
    private func nextTurn(_ state: inout State) -> Turn? {
        let position = state.position
        while state.next < expected.count, expected[state.next].upperBound <= position { state.next += 1 }
        let start = state.next < expected.count ? expected[state.next].lowerBound : byteCount
        if start > position {
            state.position = start
            return .gap(position..<start)
        }
        guard let piece = state.waiting.removeValue(forKey: position) else {
            state.isBusy = false
            return nil
        }
        state.position = piece.place.upperBound
        return .piece(piece)
    }

    private func read(_ range: Range<Int>) {
        file.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// The hash of the whole file, when no more pieces come.
    package func finish() -> ContentHash {
        state.withLock { state in
            if let result = state.result { return result }
            read(state.position..<byteCount)
            // Pieces that still come, for another that asks, are late.
            state.position = byteCount
            let result = hash.finish()
            state.result = result
            return result
        }
    }
}
