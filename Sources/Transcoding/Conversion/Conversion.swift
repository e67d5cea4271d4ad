import Checkpoints
import Kernels
import Synchronization
import TensorCore
import Work

/// What a conversion did.
public struct ConversionReport: Sendable {
    /// A tensor in which finite numbers became infinite.
    public struct Overflow: Sendable, Hashable {
        /// The name in the output.
        public let tensor: TensorName
        public let dtype: DType
        public let count: Int
    }

    public let written: WrittenCheckpoint
    public let tensorCount: Int
    /// The bytes of tensor data that were written.
    public let dataByteCount: Int
    public let overflows: [Overflow]
    public let warnings: [String]
}

/// Carries out a plan: copies or casts every tensor, in chunks and in parallel.
public struct Conversion: Job, Sendable {
    public static var kind: String { "convert 1" }

    /// Bytes of the wider side of a chunk. Fixed, so that the work never depends on the threads.
    static let chunkByteCount = 8 << 20

    private let plan: ConversionPlan
    private let store: TensorStore

    public init(_ plan: ConversionPlan, of store: TensorStore) {
        self.plan = plan
        self.store = store
    }

    /// What is done besides copying.
    public struct Settings: Encodable {
        let format: String
        let dtype: String?
        let upcast: Bool
        /// Names in the input and in the output.
        let tensors: [[String]]
        let metadata: [[String]]
    }

    public var settings: Settings {
        Settings(
            format: plan.target.format.rawValue, dtype: plan.options.dtype?.rawValue, upcast: plan.options.upcast,
            tensors: plan.items.map { [$0.source.name.text, $0.target.name.text] },
            metadata: plan.metadata.entries.map { [$0.key, $0.value] })
    }

    public var inputs: [JobInput] { [JobInput("input", store.reader.files)] }
    public var targets: [OutputTarget] { [plan.target] }

    /// A piece of a tensor, or all of one that must be decoded as a whole.
    private struct Chunk {
        let item: Int
        let elements: Range<Int>
        /// The range is in bytes: the tensor is copied.
        let isCopy: Bool
    }

    /// Writes the output; it appears complete or not at all, and may be one of the inputs.
    ///
    /// - Throws: `FormatError` for tensors that the output cannot hold and for damaged input, `IOError`.
    public func run(in context: Context) throws -> ConversionReport {
        let writer = try plan.target.open(declaring: plan.items.map(\.target), metadata: plan.metadata)
        let progress = context.progress
        progress.begin("writing \(plan.target.path)", total: plan.sourceByteCount, unit: .bytes)
        defer { progress.end() }
        let chunks = plan.items.indices.flatMap(chunks(of:))
        let overflowCounts = Mutex([Int](repeating: 0, count: plan.items.count))
        let scratch = BufferPool(byteCount: Self.chunkByteCount)
        let windows = BufferPool(byteCount: plan.items.map(windowByteCount).max() ?? 0)
        try parallel(count: chunks.count, threads: context.workers(each: workingByteCount)) { number in
            let chunk = chunks[number]
            let overflowCount = try process(
                chunk, into: writer, windows: windows, scratch: scratch
            ) { progress.advance(by: $0) }
            if overflowCount > 0 { overflowCounts.withLock { $0[chunk.item] += overflowCount } }
        }
        let written = try writer.finish()
        let overflows = zip(plan.items, overflowCounts.withLock { $0 }).compactMap { item, count in
            count == 0
                ? nil : ConversionReport.Overflow(tensor: item.target.name, dtype: item.target.dtype, count: count)
        }
        return ConversionReport(
            written: written, tensorCount: plan.items.count,
            dataByteCount: plan.items.reduce(0) { $0 + $1.target.byteCount }, overflows: overflows,
            warnings: plan.warnings)
    }

    private func chunks(of number: Int) -> [Chunk] {
        let item = plan.items[number]
        let isCopy = item.source.dtype == item.target.dtype
        let total = isCopy ? item.source.byteCount : item.source.elementCount
        guard total > 0 else { return [] }
        let reader = store.reader
        let step = step(of: item, isCopy: isCopy)
        // A tensor that decodes only whole is decoded once, and so is a large piece of one; both are walked inside the chunk.
        let width = isCopy ? 1 : item.source.dtype.bitWidth / 8
        let together = reader.decodedTogetherByteCount(of: item.sourceIndex) / width
        let size = reader.canReadRanges(of: item.sourceIndex) ? max(1, (together + step - 1) / step) * step : total
        return stride(from: 0, to: total, by: size).map { start in
            Chunk(item: number, elements: start..<min(total - start, size) + start, isCopy: isCopy)
        }
    }

    /// How many bytes, or elements when casting, are handled at once.
    private func step(of item: ConversionPlan.Item, isCopy: Bool) -> Int {
        if isCopy { return Self.chunkByteCount }
        return Self.chunkByteCount * 8 / max(item.source.dtype.bitWidth, item.target.dtype.bitWidth)
    }

    /// Copies or casts one chunk.
    ///
    /// - Returns: how many finite values became infinite.
    private func process(
        _ chunk: Chunk, into writer: any CheckpointWriter, windows: BufferPool, scratch: BufferPool,
        progress: (Int) -> Void
    ) throws -> Int {
        let item = plan.items[chunk.item]
        let width = chunk.isCopy ? 1 : item.source.dtype.bitWidth / 8
        let window = try TensorWindow(
            store.reader, item.sourceIndex, in: chunk.elements.lowerBound * width..<chunk.elements.upperBound * width,
            pool: windows)
        let step = step(of: item, isCopy: chunk.isCopy)
        var overflowCount = 0
        for start in stride(from: chunk.elements.lowerBound, to: chunk.elements.upperBound, by: step) {
            let end = min(chunk.elements.upperBound - start, step) + start
            try window.withBytes(start * width..<end * width) { part in
                overflowCount += try write(part, from: start, of: chunk, into: writer, scratch: scratch)
                progress(part.count)
            }
        }
        return overflowCount
    }

    /// The size of the window for a tensor that is read in ranges.
    private func windowByteCount(of item: ConversionPlan.Item) -> Int {
        let reader = store.reader
        guard !reader.isMapped(item.sourceIndex), reader.canReadRanges(of: item.sourceIndex) else { return 0 }
        let isCopy = item.source.dtype == item.target.dtype
        let step = step(of: item, isCopy: isCopy) * (isCopy ? 1 : item.source.dtype.bitWidth / 8)
        return max(
            min(step, item.source.byteCount), reader.decodedTogetherByteCount(of: item.sourceIndex))
    }

    /// The memory that a thread takes for tensors that are not mapped.
    public var workingByteCount: Int {
        plan.items.map { windowByteCount(of: $0) + store.reader.decodingByteCount(of: $0.sourceIndex) }.max() ?? 0
    }

    /// Copies or casts a part of a tensor into the output.
    ///
    /// - Parameter start: its first byte when it is copied, its first element when it is cast.
    /// - Returns: how many finite values became infinite.
    private func write(
        _ part: UnsafeRawBufferPointer, from start: Int, of chunk: Chunk, into writer: any CheckpointWriter,
        scratch: BufferPool
    ) throws -> Int {
        if chunk.isCopy {
            try writer.write(part, tensor: chunk.item, at: start)
            return 0
        }
        let item = plan.items[chunk.item]
        let width = item.target.dtype.bitWidth / 8
        let count = part.count / (item.source.dtype.bitWidth / 8)
        return try scratch.withBuffer { buffer in
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * width)])
            let overflowCount = cast(part, from: item.source.dtype, to: target, as: item.target.dtype)
            try writer.write(UnsafeRawBufferPointer(target), tensor: chunk.item, at: start * width)
            return overflowCount
        }
    }
}
