import Checkpoints
import Kernels
import TensorCore

/// One of the merges that are carried out together: its plan, and where its results go.
struct MergeLane: Sendable {
    /// Elements that are handed to the writer at a time.
    static let pieceCapacity = 1 << 16

    let plan: MergePlan
    /// The numbers of the tensors that are merged; nil for all.
    let part: Set<Int>?
    let writer: any CheckpointWriter
    let log: MergeLog
    let ledger: MergeLedger?

    func isInPart(_ tensor: PlannedTensor) -> Bool { part?.contains(tensor.number) ?? true }

    /// What was noticed of elements of the result as they were written.
    struct Written {
        fileprivate var finding: TensorFinding
        fileprivate var sums = NormSums()

        init(of tensor: PlannedTensor) { finding = TensorFinding(tensor: tensor.output.name) }
    }

    /// Rounds blocks of results to the output type and hands them to the writer.
    ///
    /// - Parameter makeBlock: computes `count` results from a flat index on and says where they are.
    func write<T: ElementwiseScalar>(
        _ range: Range<Int>, of tensor: PlannedTensor,
        _ makeBlock: (_ start: Int, _ count: Int) -> UnsafePointer<T>
    ) throws {
        var written = Written(of: tensor)
        try withUnsafeTemporaryAllocation(byteCount: Self.pieceByteCount(of: range, tensor), alignment: 64) { memory in
            for piece in chunkRanges(of: range, by: Self.pieceCapacity) {
                round(piece, of: tensor, in: piece, into: memory, noting: &written, makeBlock)
                try put(piece, of: tensor, memory)
            }
        }
        note(written, from: range.lowerBound, of: tensor)
    }

    /// Bytes of a piece of a range of a tensor.
    static func pieceByteCount(of range: Range<Int>, _ tensor: PlannedTensor) -> Int {
        min(pieceCapacity, range.count) * tensor.output.dtype.bitWidth / 8
    }

    /// Rounds blocks of results to the output type; see `write`.
    ///
    /// - Parameters:
    ///   - elements: a part of the piece, from one of its blocks on.
    ///   - memory: for the bytes of the piece.
    func round<T: ElementwiseScalar>(
        _ elements: Range<Int>, of tensor: PlannedTensor, in piece: Range<Int>,
        into memory: UnsafeMutableRawBufferPointer, noting written: inout Written,
        _ makeBlock: (_ start: Int, _ count: Int) -> UnsafePointer<T>
    ) {
        let dtype = tensor.output.dtype
        let width = dtype.bitWidth / 8
        var start = elements.lowerBound
        while start < elements.upperBound {
            let count = min(mergeBlockCapacity, elements.upperBound - start)
            let values = makeBlock(start, count)
            let place = (start - piece.lowerBound) * width
            let stored = UnsafeMutableRawBufferPointer(rebasing: memory[place..<place + count * width])
            written.finding.losses += T.write(
                UnsafeBufferPointer(start: values, count: count), into: stored, as: dtype)
            // What is finite where it is stored was so before.
            let bytes = UnsafeRawBufferPointer(stored)
            let isFinite = ledger == nil ? !hasNonFinite(bytes, dtype) : written.sums.add(bytes, dtype)
            if !isFinite {
                let (nan, infinite) = countNonFinite(values, count: count)
                written.finding.nanCount += nan
                written.finding.infinityCount += infinite
            }
            start += count
        }
    }

    /// Hands a piece to the writer.
    func put(_ piece: Range<Int>, of tensor: PlannedTensor, _ memory: UnsafeMutableRawBufferPointer) throws {
        let width = tensor.output.dtype.bitWidth / 8
        let bytes = UnsafeRawBufferPointer(rebasing: memory[..<(piece.count * width)])
        try writer.write(bytes, tensor: tensor.number, at: piece.lowerBound * width)
    }

    /// Tells log and ledger of elements that were written, from a flat index on.
    func note(_ written: Written, from start: Int, of tensor: PlannedTensor) {
        log.add(written.finding, to: tensor.number)
        ledger?.wrote(written.sums, from: start, of: tensor)
    }

    /// Counts a pass as done that did not come about.
    func skip(_ tensor: PlannedTensor) { log.advance(tensor.output.byteCount) }

    /// Takes a tensor over as it is.
    func copy(_ tensor: PlannedTensor) throws {
        let loaded = try LoadedTensor(tensor, of: plan.models, hasBase: plan.hasBase)
        try loaded.inputs[0].read(0..<loaded.inputs[0].byteCount) { bytes in
            if tensor.output.dtype != tensor.dtypes[0] {
                try copy(bytes, of: tensor)
            } else if !bytes.isEmpty {
                try writer.write(bytes, tensor: tensor.number, at: 0)
            }
        }
        try ledger?.copied(loaded)
        log.advance(tensor.output.byteCount)
    }

    /// Writes the numbers of a quantised weight that is kept, in the type that it had before.
    private func copy(_ bytes: UnsafeRawBufferPointer, of tensor: PlannedTensor) throws {
        let (before, after) = (tensor.dtypes[0], tensor.output.dtype)
        let (width, newWidth) = (before.bitWidth / 8, after.bitWidth / 8)
        try withUnsafeTemporaryAllocation(byteCount: Self.pieceCapacity * newWidth, alignment: 64) { piece in
            for run in chunkRanges(of: 0..<tensor.output.elementCount, by: Self.pieceCapacity) {
                let numbers = UnsafeRawBufferPointer(rebasing: bytes[run.lowerBound * width..<run.upperBound * width])
                let stored = UnsafeMutableRawBufferPointer(rebasing: piece[..<(run.count * newWidth)])
                let losses = cast(numbers, from: before, to: stored, as: after)
                try writer.write(UnsafeRawBufferPointer(stored), tensor: tensor.number, at: run.lowerBound * newWidth)
                log.add(TensorFinding(tensor: tensor.output.name, losses: losses), to: tensor.number)
            }
        }
    }
}
