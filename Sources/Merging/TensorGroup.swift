import Checkpoints
import Kernels
import TensorCore

extension PlannedTensor {
    var isElementwise: Bool { if case .elementwise = work { true } else { false } }
    var isCopy: Bool { if case .copy = work { true } else { false } }
    var isMatrix: Bool {
        switch work {
        case .matrix, .entrywise, .grouped: true
        case .copy, .elementwise: false
        }
    }
    var plannedRule: PlannedRule? {
        switch work {
        case .elementwise(let rule), .entrywise(let rule, _): rule
        case .copy, .matrix, .grouped: nil
        }
    }

    /// Bytes of the inputs that are decoded and of what was surveyed of the tensor, held while its group is worked on.
    var heldByteCount: Int { decodedByteCount + (plannedRule?.survey?.byteCount ?? 0) }
}

/// Tensors whose chunks are worked on together: as many as the memory holds of what is decoded and surveyed, and so few that
/// the second pass finds their bytes still in the page cache.
struct TensorGroup {
    private(set) var tensors: [PlannedTensor] = []
    private(set) var byteCount = 0
    private var inputByteCount = 0

    /// More would not keep the workers busier.
    static let largestByteCount = 64 << 20
    private static let largestInputByteCount = 1 << 30

    /// Splits a list, in its order. A tensor that alone exceeds the limit makes a group of its own.
    static func split(_ tensors: [PlannedTensor], limit: Int) -> [TensorGroup] {
        var groups: [TensorGroup] = []
        for tensor in tensors {
            let bytes = tensor.heldByteCount
            if let last = groups.last, last.byteCount + bytes <= limit,
                last.inputByteCount + tensor.inputByteCount <= largestInputByteCount
            {
                groups[groups.count - 1].add(tensor, bytes: bytes)
            } else {
                var group = TensorGroup()
                group.add(tensor, bytes: bytes)
                groups.append(group)
            }
        }
        return groups
    }

    private mutating func add(_ tensor: PlannedTensor, bytes: Int) {
        tensors.append(tensor)
        byteCount += bytes
        inputByteCount += tensor.inputByteCount
    }
}

/// The bytes of one tensor in every model, and what an execution does with its elements.
final class LoadedTensor: Sendable {
    let planned: PlannedTensor
    /// Nil where elements are not merged one by one, or not yet.
    let rule: (any ElementwiseRule)?
    /// For every model that is read.
    let inputs: [TensorInput]
    /// Where the bytes lie as they are; nil for those that are decoded.
    let locations: [StoredLocation?]
    private let hasBase: Bool

    init(
        _ planned: PlannedTensor, of models: [MergeModel], hasBase: Bool, rule: (any ElementwiseRule)? = nil
    ) throws {
        self.planned = planned
        self.rule = rule
        self.hasBase = hasBase
        inputs = try zip(models, planned.readIndices).map { model, index in
            let reader = model.store.reader
            guard planned.isElementwise, let byteCount = reader.windowByteCount(of: index) else {
                return .bytes(try reader.bytes(of: index))
            }
            return .made(reader, index, BufferPool(byteCount: byteCount))
        }
        locations = zip(models, planned.readIndices).map { $0.store.reader.plainLocation(of: $1) }
    }

    /// Calls `body` with the elements of the base and the experts.
    ///
    /// - Parameter elements: those that are read; nil for all.
    /// - Throws: what `body` throws, and what reading elements threw that are made as they are read.
    func withSources<R>(
        _ elements: Range<Int>? = nil, _ body: (_ base: MergeSource?, _ experts: [MergeSource]) throws -> R
    ) throws -> R {
        try withModels(elements) { sources in
            try body(hasBase ? sources[0] : nil, hasBase ? Array(sources.dropFirst()) : sources)
        }
    }

    /// Calls `body` with the elements of every model; see `withSources`.
    func withModels<R>(_ elements: Range<Int>? = nil, _ body: ([MergeSource]) throws -> R) throws -> R {
        let failure = ReadFailure()
        let elements = elements ?? 0..<planned.output.elementCount
        let sources = try zip(inputs, planned.dtypes).map { input, dtype in
            switch input {
            case .bytes(let owner):
                // Safety: the bytes are valid while their owners live, which is longer than this call.
                return MergeSource(bytes: owner.withUnsafeBytes { $0 }, dtype: dtype)
            case .made(let reader, let index, let pool):
                let width = dtype.bitWidth / 8
                let window = try TensorWindow(
                    reader, index, in: elements.lowerBound * width..<elements.upperBound * width, pool: pool)
                return MergeSource(making: window, dtype: dtype, failure: failure)
            }
        }
        let result = try withExtendedLifetime(inputs) { try body(sources) }
        try failure.check()
        return result
    }

    var elements: Range<Int> { 0..<planned.output.elementCount }

    /// The elements of the chunks; none for a tensor without elements.
    var chunks: [Range<Int>] { chunkRanges(of: elements, by: MergeChunk.capacity) }

    /// A range of elements in one of the models.
    func piece(_ elements: Range<Int>, of model: Int) -> InputPiece {
        let width = planned.dtypes[model].bitWidth / 8
        return piece(
            of: model, elements.lowerBound * width..<elements.upperBound * width, start: elements.lowerBound)
    }

    /// The tensor in one of the models, whatever its type.
    func wholePiece(of model: Int) -> InputPiece { piece(of: model, 0..<inputs[model].byteCount, start: 0) }

    private func piece(of model: Int, _ bytes: Range<Int>, start: Int) -> InputPiece {
        InputPiece(
            tensor: planned.output.name, model: model, input: inputs[model], location: locations[model],
            dtype: planned.dtypes[model], range: bytes, start: start)
    }

    /// Gives up the pages of a chunk that is not read again, which at the end would take as long and keep one core busy.
    func doneWith(_ chunk: MergeChunk) {
        for model in inputs.indices { inputs[model].doneWith(piece(chunk.range, of: model).range) }
    }

    func withChunk<R>(_ range: Range<Int>, _ body: (MergeChunk) throws -> R) throws -> R {
        try withSources(range) { base, experts in
            try body(
                MergeChunk(
                    tensor: planned.number, number: range.lowerBound / MergeChunk.capacity, range: range, base: base,
                    experts: experts))
        }
    }
}

/// One tensor of one model: its bytes, or what makes them as they are read.
enum TensorInput: Sendable {
    case bytes(TensorBytes)
    /// A tensor of a reader, of which the pool's buffers hold a part.
    case made(any CheckpointReader, Int, BufferPool)

    var byteCount: Int {
        switch self {
        case .bytes(let bytes): bytes.count
        case .made(let reader, let index, _): reader.descriptors[index].byteCount
        }
    }

    /// Gives up pages of bytes that are mapped.
    func doneWith(_ range: Range<Int>) { if case .bytes(let bytes) = self { bytes.doneWith(range) } }

    /// Calls `body` with a range of the bytes, in one piece or in several.
    ///
    /// - Throws: what the reader throws.
    func read(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        switch self {
        case .bytes(let bytes): try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
        case .made(let reader, let index, let pool):
            let window = try TensorWindow(reader, index, in: range, pool: pool)
            for run in chunkRanges(of: range, by: (pool.byteCount >> 15) << 15) { try window.withBytes(run, body) }
        }
    }
}

extension CheckpointReader {
    /// The part of a tensor that is made at a time and stays in the cache while it is merged; nil for one that is mapped, and for one
    /// that is better decoded whole.
    func windowByteCount(of index: Int) -> Int? {
        guard !isMapped(index), canReadAnywhere(in: index), descriptors[index].byteCount > 0 else { return nil }
        return max(1 << 18, decodedTogetherByteCount(of: index))
    }
}
