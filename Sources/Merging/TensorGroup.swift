import Checkpoints
import Kernels
import TensorCore

extension PlannedTensor {
    var isElementwise: Bool { if case .elementwise = work { true } else { false } }
    var isCopy: Bool { if case .copy = work { true } else { false } }
    var isMatrix: Bool {
        switch work {
        case .matrix, .grouped: true
        case .copy, .elementwise: false
        }
    }
    var plannedRule: PlannedRule? { if case .elementwise(let rule) = work { rule } else { nil } }

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
    let owners: [TensorBytes]
    /// Where the bytes lie as they are; nil for those that are decoded.
    let locations: [StoredLocation?]
    private let hasBase: Bool

    init(
        _ planned: PlannedTensor, of models: [MergeModel], hasBase: Bool, rule: (any ElementwiseRule)? = nil
    ) throws {
        self.planned = planned
        self.rule = rule
        self.hasBase = hasBase
        owners = try zip(models, planned.readIndices).map { try $0.store.reader.bytes(of: $1) }
        locations = zip(models, planned.readIndices).map { $0.store.reader.plainLocation(of: $1) }
    }

    /// Calls `body` with the stored elements of the base and the experts.
    func withSources<R>(_ body: (_ base: MergeSource?, _ experts: [MergeSource]) throws -> R) rethrows -> R {
        try withModels { sources in
            try body(hasBase ? sources[0] : nil, hasBase ? Array(sources.dropFirst()) : sources)
        }
    }

    /// Calls `body` with the stored elements of every model.
    func withModels<R>(_ body: ([MergeSource]) throws -> R) rethrows -> R {
        // Safety: the bytes are valid while their owners live, which is longer than this call.
        let sources = zip(owners, planned.dtypes).map { owner, dtype in
            MergeSource(bytes: owner.withUnsafeBytes { $0 }, dtype: dtype)
        }
        return try withExtendedLifetime(owners) { try body(sources) }
    }

    /// The elements of the chunks; none for a tensor without elements.
    var chunks: [Range<Int>] { chunkRanges(of: 0..<planned.output.elementCount, by: MergeChunk.capacity) }

    /// A range of elements in one of the models.
    func piece(_ elements: Range<Int>, of model: Int) -> InputPiece {
        let width = planned.dtypes[model].bitWidth / 8
        return piece(
            of: model, elements.lowerBound * width..<elements.upperBound * width, start: elements.lowerBound)
    }

    /// The tensor in one of the models, whatever its type.
    func wholePiece(of model: Int) -> InputPiece { piece(of: model, 0..<owners[model].count, start: 0) }

    private func piece(of model: Int, _ bytes: Range<Int>, start: Int) -> InputPiece {
        InputPiece(
            tensor: planned.output.name, model: model, bytes: owners[model], location: locations[model],
            dtype: planned.dtypes[model], range: bytes, start: start)
    }

    /// Gives up the pages of a chunk that is not read again, which at the end would take as long and keep one core busy.
    func doneWith(_ chunk: MergeChunk) {
        for model in owners.indices { owners[model].doneWith(piece(chunk.range, of: model).range) }
    }

    func withChunk<R>(_ range: Range<Int>, _ body: (MergeChunk) throws -> R) rethrows -> R {
        try withSources { base, experts in
            try body(
                MergeChunk(
                    tensor: planned.number, number: range.lowerBound / MergeChunk.capacity, range: range, base: base,
                    experts: experts))
        }
    }
}
