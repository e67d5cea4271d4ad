import Dispatch
import Synchronization
import SystemPackage
import TensorCore

/// Puts chunks that become ready in any order into the file in the order of the index, one behind the other.
///
/// A chunk has its place when the sizes of all chunks before it are known. Chunks that are ready too early wait in memory up
/// to a bound, and beyond it in a scratch file beside the output. So the bytes of the file never depend on who wrote what
/// when, memory is bounded, and no caller ever waits for another, whatever order they work in.
final class OrderedChunks: Sendable {
    private let output: AtomicOutput
    private let buffers: LendingPool<EncodedChunk>
    /// What is known of rows that repeat others, which takes chunks in order.
    private let repeats: SkeinRepeats
    private let state: Mutex<State>
    /// Chunks on their way into the file.
    private let writes = DispatchGroup()
    /// What may be held in memory.
    private let heldByteLimit: Int

    private struct Waiting {
        let chunk: Properties
        let store: Store

        enum Store {
            case memory(EncodedChunk)
            case scratch(offset: Int)
        }
    }

    /// What is known of a chunk besides its bytes.
    private struct Properties {
        let storedByteCount: Int
        let headerChecksum: UInt64
        let needsBase: Bool
        let isPlain: Bool
        let isPacked: Bool
        /// Not of chunks in the scratch file.
        let rowHeads: [UInt64]?
        var byteCount: Int { storedByteCount.roundedUpToSkeinAlignment }

        init(_ chunk: EncodedChunk, keepsHeads: Bool = true) {
            rowHeads = keepsHeads ? chunk.rowHeads : nil
            storedByteCount = chunk.storedByteCount
            headerChecksum = chunk.headerChecksum
            needsBase = chunk.needsBase
            isPlain = chunk.isPlain
            isPacked = chunk.isPacked
        }
    }

    private struct State {
        var next = 0
        /// Somebody works on the next chunk.
        var isPlacing = false
        var position: Int
        var waiting: [Int: Waiting] = [:]
        /// The buffers of the chunks in memory.
        var heldByteCount = 0
        var scratch: AtomicOutput?
        var scratchByteCount = 0
        var places: [SkeinChunkPlace]
        var needsBase: [Bool]
        var isPlain: [Bool]
        var isPacked = false
    }

    /// What is known of all chunks in the end.
    struct Placement {
        let places: [SkeinChunkPlace]
        let needsBase: [Bool]
        let isPlain: [Bool]
        /// Some chunk is packed.
        let isPacked: Bool
        let end: Int
    }

    init(
        count: Int, from start: Int, output: AtomicOutput, buffers: LendingPool<EncodedChunk>,
        repeats: SkeinRepeats, waitingByteLimit: Int
    ) {
        self.repeats = repeats
        self.output = output
        self.buffers = buffers
        heldByteLimit = waitingByteLimit
        state = Mutex(
            State(
                position: start, places: Array(repeating: SkeinChunkPlace(), count: count),
                needsBase: Array(repeating: false, count: count), isPlain: Array(repeating: false, count: count)))
    }

    /// Where all chunks lie, once all were put; the scratch file is removed.
    ///
    /// - Returns: nil when some chunks are missing.
    func finish() -> Placement? {
        state.withLock { state in
            guard state.next == state.places.count else { return nil }
            state.scratch = nil
            return Placement(
                places: state.places, needsBase: state.needsBase, isPlain: state.isPlain,
                isPacked: state.isPacked, end: state.position)
        }
    }

    /// Takes a chunk, which goes back to the pool once it is written.
    func put(_ chunk: EncodedChunk, number: Int) throws {
        if let scratch = try scratchPlace(for: chunk, number: number) {
            try scratch.file.write(chunk.bytes, at: scratch.offset)
            insert(chunk, number: number, .scratch(offset: scratch.offset))
            buffers.giveBack(chunk)
        } else {
            insert(chunk, number: number, .memory(chunk))
        }
        try writeWhatIsNext()
    }

    /// A place in the scratch file, if the chunk must wait and there is no room in memory; else the room is taken.
    ///
    /// What counts is the whole buffer of the chunk, however little of it is used.
    private func scratchPlace(
        for chunk: EncodedChunk, number: Int
    ) throws(IOError) -> (file: AtomicOutput, offset: Int)? {
        try state.withLock { (state) throws(IOError) in
            guard number != state.next, state.heldByteCount + chunk.room.count > heldByteLimit else {
                state.heldByteCount += chunk.room.count
                return nil
            }
            if state.scratch == nil {
                let name = ".\(output.path.lastComponent?.string ?? "output").scratch"
                state.scratch = try AtomicOutput(
                    creating: output.path.removingLastComponent().appending(name), byteCount: nil,
                    options: WriteOptions(force: true, sync: false))
            }
            guard let file = state.scratch else { return nil }
            defer { state.scratchByteCount += chunk.byteCount }
            return (file, state.scratchByteCount)
        }
    }

    private func insert(_ chunk: EncodedChunk, number: Int, _ store: Waiting.Store) {
        let isInMemory = if case .memory = store { true } else { false }
        let waiting = Waiting(chunk: Properties(chunk, keepsHeads: isInMemory), store: store)
        state.withLock { state in
            precondition(number >= state.next && state.waiting[number] == nil, "a chunk was written twice")
            state.waiting[number] = waiting
        }
    }

    /// Gives the chunks that are next in line their places, one after the other, and writes them, several threads side by side.
    private func writeWhatIsNext() throws {
        while let (waiting, number) = takeNext() {
            switch waiting.store {
            case .memory(let chunk):
                defer { buffers.giveBack(chunk) }
                try place(waiting.chunk, chunk.bytes, number: number)
                state.withLock { $0.heldByteCount -= chunk.room.count }
            case .scratch(let offset):
                guard let scratch = state.withLock({ $0.scratch }) else { return }
                try buffers.with { buffer in
                    let room = UnsafeMutableRawBufferPointer(rebasing: buffer.room[..<waiting.chunk.byteCount])
                    try scratch.read(into: room, at: offset)
                    try place(waiting.chunk, UnsafeRawBufferPointer(room), number: number)
                }
            }
        }
    }

    /// Places a chunk, or what is left of it without rows that stand before it, and writes it.
    private func place(_ chunk: Properties, _ bytes: UnsafeRawBufferPointer, number: Int) throws {
        let stored = UnsafeRawBufferPointer(rebasing: bytes[..<chunk.storedByteCount])
        let packed = try repeats.packed(
            stored, checksum: chunk.headerChecksum, heads: chunk.rowHeads, number: number
        ) { [self] target, earlier in
            writes.wait()
            let place = state.withLock { $0.places[earlier] }
            try output.read(
                into: UnsafeMutableRawBufferPointer(rebasing: target[..<place.storedByteCount]), at: place.offset)
            return place
        }
        defer { if let packed { buffers.giveBack(packed) } }
        writes.enter()
        defer { writes.leave() }
        let position = assignPlace(packed.map { Properties($0) } ?? chunk, number: number)
        try output.write(packed?.bytes ?? bytes, at: position)
    }

    private func takeNext() -> (Waiting, number: Int)? {
        state.withLock { state in
            guard !state.isPlacing, let waiting = state.waiting.removeValue(forKey: state.next) else { return nil }
            state.isPlacing = true
            return (waiting, state.next)
        }
    }

    private func assignPlace(_ chunk: Properties, number: Int) -> Int {
        state.withLock { state in
            let position = state.position
            state.places[number] = SkeinChunkPlace(
                offset: position, storedByteCount: chunk.storedByteCount, headerChecksum: chunk.headerChecksum)
            state.needsBase[number] = chunk.needsBase
            state.isPlain[number] = chunk.isPlain
            state.isPacked = state.isPacked || chunk.isPacked
            state.position += chunk.byteCount
            state.next += 1
            state.isPlacing = false
            return position
        }
    }
}
