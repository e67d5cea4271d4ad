import Kernels
import TensorCore

/// What one merge does with a chunk that is merged element by element, and what it has noticed so far.
struct ChunkMerge {
    private let lane: MergeLane
    private let tensor: LoadedTensor
    private let chunk: MergeChunk
    private let rule: any ElementwiseRule
    /// For every model, what looks at its elements as they are read.
    private var tallies: [InputTally]
    private var written: MergeLane.Written

    /// Elements that one merge works on before the next does: of ten models in F32 they are a third of a megabyte, and so in the cache.
    private static let turnCapacity = 4 * mergeBlockCapacity

    /// Merges a chunk for all merges that it belongs to: block by block, a few blocks in each of them while their inputs are in the
    /// cache, and handed to the writers piece by piece.
    ///
    /// - Throws: what readers and writers throw.
    static func merge(_ chunks: [LoadedShare.Chunk], in lanes: [MergeLane]) throws {
        // One of the merges looks at an input for all of them.
        var seen: Set<InputKey> = []
        let purpose: InputTally.Purpose = chunks.contains { lanes[$0.lane].ledger != nil } ? .sums : .counts
        var works = chunks.compactMap { chunk -> ChunkMerge? in
            guard let rule = chunk.tensor.rule else { return nil }
            return ChunkMerge(
                lane: lanes[chunk.lane], tensor: chunk.tensor, chunk: chunk.chunk, rule: rule,
                tallies: chunk.tensor.keys.map { InputTally(seen.insert($0).inserted ? purpose : .reading) },
                written: MergeLane.Written(of: chunk.tensor.planned))
        }
        guard let range = works.first?.chunk.range else { return }
        let rowByteCount = works.map(\.rowByteCount).max() ?? 0
        // Pieces begin where the largest type is aligned.
        let largestPiece = works.map { MergeLane.pieceByteCount(of: range, $0.tensor.planned) }.max() ?? 0
        let pieceByteCount = (largestPiece + 63) / 64 * 64
        try withUnsafeTemporaryAllocation(byteCount: rowByteCount, alignment: 64) { rows in
            try withUnsafeTemporaryAllocation(byteCount: works.count * pieceByteCount, alignment: 64) { memory in
                func piece(of place: Int) -> UnsafeMutableRawBufferPointer {
                    let start = place * pieceByteCount
                    return UnsafeMutableRawBufferPointer(rebasing: memory[start..<start + pieceByteCount])
                }
                // A merge by itself has no other to take turns with.
                let turnCapacity = works.count == 1 ? MergeLane.pieceCapacity : Self.turnCapacity
                for elements in chunkRanges(of: range, by: MergeLane.pieceCapacity) {
                    for turn in chunkRanges(of: elements, by: turnCapacity) {
                        for place in works.indices {
                            works[place].merge(turn, in: elements, rows: rows, into: piece(of: place))
                        }
                    }
                    for place in works.indices {
                        works[place].hash(elements)
                        try works[place].put(elements, piece(of: place))
                    }
                }
            }
        }
        var whole: [InputKey: InputTally] = [:]
        for work in works {
            for (key, tally) in zip(work.tensor.keys, work.tallies) where tally.isWhole(of: range.count) {
                whole[key] = tally
            }
        }
        for work in works { try work.finish(whole) }
        // No chunk is read again; giving all pages up at the end would take as long and keep one core busy.
        for work in works {
            for (model, key) in work.tensor.keys.enumerated() where seen.remove(key) != nil {
                work.tensor.inputs[model].doneWith(work.tensor.piece(range, of: model).range)
            }
        }
    }

    /// Bytes of the result and of what the rule needs beside it.
    private var rowByteCount: Int {
        let rowCount = 1 + (tensor.planned.plannedRule?.scratchRowCount ?? 0)
        return rowCount * mergeBlockCapacity * (tensor.planned.needsDouble ? 8 : 4)
    }

    private mutating func merge(
        _ turn: Range<Int>, in piece: Range<Int>, rows: UnsafeMutableRawBufferPointer,
        into memory: UnsafeMutableRawBufferPointer
    ) {
        let rule = rule
        if tensor.planned.needsDouble {
            merge(turn, in: piece, rows: rows.bindMemory(to: Double.self), into: memory) { rule.merge($0) }
        } else {
            merge(turn, in: piece, rows: rows.bindMemory(to: Float.self), into: memory) { rule.merge($0) }
        }
    }

    private mutating func merge<T: ElementwiseScalar>(
        _ turn: Range<Int>, in piece: Range<Int>, rows: UnsafeMutableBufferPointer<T>,
        into memory: UnsafeMutableRawBufferPointer, _ mergeBlock: (MergeBlock<T>) -> Void
    ) {
        guard let result = rows.baseAddress else { preconditionFailure("there is a row for the result") }
        let (lane, planned, chunk) = (lane, tensor.planned, chunk)
        tallies.withUnsafeMutableBufferPointer { tallies in
            let first = tallies.baseAddress
            lane.round(turn, of: planned, in: piece, into: memory, noting: &written) { start, count in
                mergeBlock(
                    MergeBlock(
                        chunk: chunk, offset: start - chunk.range.lowerBound, count: count, result: result,
                        scratch: result + mergeBlockCapacity, tallies: first))
                return UnsafePointer(result)
            }
        }
    }

    /// Hashes a piece of every input while it is in the cache.
    private func hash(_ piece: Range<Int>) {
        guard let ledger = lane.ledger else { return }
        for model in tensor.inputs.indices { ledger.hash(tensor.piece(piece, of: model)) }
    }

    private func put(_ piece: Range<Int>, _ memory: UnsafeMutableRawBufferPointer) throws {
        try lane.put(piece, of: tensor.planned, memory)
    }

    /// Tells log and ledger what was noticed.
    ///
    /// - Parameter whole: what was noticed of inputs at all of which one of the merges has looked.
    private func finish(_ whole: [InputKey: InputTally]) throws {
        lane.note(written, from: chunk.range.lowerBound, of: tensor.planned)
        let sources = (chunk.base.map { [$0] } ?? []) + chunk.experts
        let counts = tensor.keys.indices.map { model in
            guard tallies[model].isBlind else { return tallies[model].count }
            return whole[tensor.keys[model]]?.count
                ?? sources[model].countNonFinite(from: chunk.range.lowerBound, count: chunk.count)
        }
        lane.log.add(counts, to: chunk.tensor)
        guard let ledger = lane.ledger else { return }
        for (model, key) in tensor.keys.enumerated() {
            let piece = tensor.piece(chunk.range, of: model)
            ledger.read(piece, sums: try whole[key]?.sums(of: chunk.count) ?? piece.sums())
        }
    }
}
