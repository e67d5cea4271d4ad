import Checkpoints
import Kernels
import TensorCore
import Work

/// What a conversion did.
public struct ConversionReport: Sendable {
    public let written: WrittenCheckpoint
    public let tensorCount: Int
    /// The bytes of tensor data that were written.
    public let dataByteCount: Int
    /// The tensors of which something was lost.
    public let losses: [TensorLosses]
    public let warnings: [Warning]
}

/// Carries out a plan: copies or casts every tensor, in chunks and in parallel.
public struct Conversion: Job, Sendable {
    /// Bytes of the wider side of a chunk. Fixed, so that the work never depends on the threads.
    static let chunkByteCount = 8 << 20

    private let plan: ConversionPlan
    private let store: TensorStore

    public init(_ plan: ConversionPlan, of store: TensorStore) {
        self.plan = plan
        self.store = store
    }

    /// Writes the output; it appears complete or not at all, and may be one of the inputs.
    ///
    /// - Throws: `FormatError` for tensors that the output cannot hold and for damaged input, `IOError`, `io.space` among them.
    public func run(in context: Context) throws -> ConversionReport {
        try plan.target.requireNoPart(of: [store.reader.files])
        try diskSpace?.require()
        let writer = try plan.target.open(declaring: plan.items.map(\.target), metadata: plan.metadata)
        let progress = context.progress
        progress.begin("writing \(plan.target.path)", total: plan.sourceByteCount, unit: .bytes)
        defer { progress.end() }
        let scratch = BufferPool(byteCount: Self.chunkByteCount)
        let sweep = sweep
        let counted = try sweep.map(threads: context.workers(each: sweep.workingByteCount)) { chunk in
            defer { progress.advance(by: chunk.parts[0].count) }
            return try write(chunk, into: writer, scratch: scratch)
        }.map { $0.reduce(into: CastLosses()) { $0 += $1 } }
        let written = try writer.finish()
        let losses = zip(plan.items, counted).compactMap { item, losses in
            losses.isZero ? nil : TensorLosses(tensor: item.target.name, dtype: item.target.dtype, losses: losses)
        }
        return ConversionReport(
            written: written, tensorCount: plan.items.count,
            dataByteCount: plan.targetByteCount, losses: losses,
            warnings: plan.warnings)
    }

    /// The room that the tensors need and the disk has; nil where nobody knows how small they become.
    private var diskSpace: DiskSpace? {
        guard plan.target.format != .skein else { return nil }
        return DiskSpace(needed: plan.targetByteCount, at: plan.target.path)
    }

    private var sweep: TensorSweep {
        TensorSweep(
            plan.items.map { item in
                let width = max(item.source.dtype.bitWidth, item.target.dtype.bitWidth)
                // Eight elements of any type fill whole bytes.
                return TensorSweep.Item(
                    [(store.reader, item.sourceIndex)], chunkCount: Self.chunkByteCount * 8 / width & ~7)
            })
    }

    /// Copies or casts a chunk of a tensor into the output.
    ///
    /// - Returns: what the numbers lost.
    private func write(
        _ chunk: TensorSweep.Chunk, into writer: any CheckpointWriter, scratch: BufferPool
    ) throws -> CastLosses {
        let (source, target) = (plan.items[chunk.item].source.layout, plan.items[chunk.item].target.layout)
        let place = target.byteRange(of: chunk.elements)
        guard source != target else {
            try writer.write(chunk.parts[0], tensor: chunk.item, at: place.lowerBound)
            return CastLosses()
        }
        return try scratch.withBuffer { buffer in
            let result = UnsafeMutableRawBufferPointer(rebasing: buffer[..<place.count])
            let losses: CastLosses
            if case .blocks(let type) = target {
                losses = try quantize(chunk, from: source.dtype, to: type, into: result, scratch: scratch)
            } else {
                losses = cast(chunk.parts[0], from: source.dtype, to: result, as: target.dtype)
            }
            try writer.write(UnsafeRawBufferPointer(result), tensor: chunk.item, at: place.lowerBound)
            return losses
        }
    }

    /// Turns a chunk into blocks, by way of F32.
    ///
    /// - Returns: what the numbers lost on the way to F32.
    private func quantize(
        _ chunk: TensorSweep.Chunk, from source: DType, to type: BlockType, into result: UnsafeMutableRawBufferPointer,
        scratch: BufferPool
    ) throws -> CastLosses {
        guard let target = result.baseAddress else { return CastLosses() }
        return try scratch.withBuffer { buffer in
            let count = chunk.elements.count
            let numbers = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * MemoryLayout<Float>.size)])
            let losses = cast(chunk.parts[0], from: source, to: numbers, as: .f32)
            // Safety: buffers of the pool are aligned; the chunk holds whole blocks, for which the result has room.
            type.quantize(UnsafeBufferPointer(numbers.assumingMemoryBound(to: Float.self)), into: target)
            return losses
        }
    }
}
