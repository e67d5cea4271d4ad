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

/// The tensors of one name in merges that are carried out together: what they have in common is read once.
struct SharedTensor: Sendable {
    /// What one of the merges makes of it.
    struct Use: Sendable {
        let lane: Int
        let tensor: PlannedTensor
    }

    /// At least one, and none of two in one lane.
    private(set) var uses: [Use]

    private struct Key: Hashable {
        let name: TensorName
        let elementCount: Int
    }

    /// Puts tensors of the same name and size together, in the order of the first lane that has each.
    static func match(_ lanes: [[PlannedTensor]]) -> [SharedTensor] {
        var tensors: [SharedTensor] = []
        var places: [Key: Int] = [:]
        for (lane, planned) in lanes.enumerated() {
            for tensor in planned {
                let use = Use(lane: lane, tensor: tensor)
                let key = Key(name: tensor.output.name, elementCount: tensor.output.elementCount)
                if let place = places[key], tensors[place].uses.last?.lane != lane {
                    tensors[place].uses.append(use)
                } else {
                    places[key] = tensors.count
                    tensors.append(SharedTensor(uses: [use]))
                }
            }
        }
        return tensors
    }

    /// The uses of some of the merges; nil when there are none.
    func filter(_ isWanted: (Use) -> Bool) -> SharedTensor? {
        let wanted = uses.filter(isWanted)
        return wanted.isEmpty ? nil : SharedTensor(uses: wanted)
    }

    var heldByteCount: Int { uses.reduce(0) { $0 + $1.tensor.heldByteCount } }
    /// Of the merge that reads most: the others read the same for the most part.
    var inputByteCount: Int { uses.map(\.tensor.inputByteCount).max() ?? 0 }
}

/// Tensors whose chunks are worked on together: as many as the memory holds of what is decoded and surveyed, and so few that
/// the second pass finds their bytes still in the page cache.
struct TensorGroup {
    private(set) var tensors: [SharedTensor] = []
    private(set) var byteCount = 0
    private var inputByteCount = 0

    /// More would not keep the workers busier.
    static let largestByteCount = 64 << 20
    private static let largestInputByteCount = 1 << 30

    /// Splits a list, in its order. A tensor that alone exceeds the limit makes a group of its own.
    static func split(_ tensors: [SharedTensor], limit: Int) -> [TensorGroup] {
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

    private mutating func add(_ tensor: SharedTensor, bytes: Int) {
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
    let dtypes: [DType]
    /// By which other merges know them.
    let keys: [InputKey]
    /// Where the bytes lie as they are; nil for those that are decoded.
    let locations: [StoredLocation?]
    private let hasBase: Bool

    convenience init(_ planned: PlannedTensor, of models: [MergeModel], hasBase: Bool) throws {
        var inputs: [InputKey: TensorInput] = [:]
        try self.init(planned, of: models, hasBase: hasBase, rule: nil, sharing: &inputs)
    }

    /// Opens the inputs of a tensor.
    ///
    /// - Parameter shared: those that are open already, and takes the others.
    init(
        _ planned: PlannedTensor, of models: [MergeModel], hasBase: Bool, rule: (any ElementwiseRule)?,
        sharing shared: inout [InputKey: TensorInput]
    ) throws {
        self.planned = planned
        self.rule = rule
        self.hasBase = hasBase && planned.readModels.lowerBound == 0
        var (inputs, keys): ([TensorInput], [InputKey]) = ([], [])
        for place in planned.readModels {
            let (store, index) = (models[place].store, planned.indices[place])
            let key = InputKey(store: ObjectIdentifier(store), index: index, isElementwise: planned.isElementwise)
            let input = try shared[key] ?? TensorInput(index, of: store.reader, inWindows: planned.isElementwise)
            shared[key] = input
            inputs.append(input)
            keys.append(key)
        }
        self.inputs = inputs
        self.keys = keys
        dtypes = Array(planned.dtypes[planned.readModels])
        locations = planned.readModels.map { models[$0].store.reader.plainLocation(of: planned.indices[$0]) }
    }

    /// Calls `body` with the elements of the experts, and of the base where it is read.
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

    /// Calls `body` with the elements of every model that is read; see `withSources`.
    func withModels<R>(_ elements: Range<Int>? = nil, _ body: ([MergeSource]) throws -> R) throws -> R {
        let failure = ReadFailure()
        var shared: [InputKey: MergeSource] = [:]
        let sources = try sources(elements ?? self.elements, sharing: &shared, failure)
        let result = try withExtendedLifetime(inputs) { try body(sources) }
        try failure.check()
        return result
    }

    /// The elements of every model, which are valid while the tensor lives.
    ///
    /// - Parameter shared: those of other merges, and takes the others.
    fileprivate func sources(
        _ elements: Range<Int>, sharing shared: inout [InputKey: MergeSource], _ failure: ReadFailure
    ) throws -> [MergeSource] {
        var sources: [MergeSource] = []
        for (model, key) in keys.enumerated() {
            let source = try shared[key] ?? inputs[model].source(elements, dtypes[model], failure)
            shared[key] = source
            sources.append(source)
        }
        return sources
    }

    var elements: Range<Int> { 0..<planned.output.elementCount }

    /// The elements of the chunks; none for a tensor without elements.
    var chunks: [Range<Int>] { chunkRanges(of: elements, by: MergeChunk.capacity) }

    /// A range of elements in one of the models that are read.
    func piece(_ elements: Range<Int>, of model: Int) -> InputPiece {
        let width = dtypes[model].bitWidth / 8
        return piece(
            of: model, elements.lowerBound * width..<elements.upperBound * width, start: elements.lowerBound)
    }

    /// The tensor in one of the models that are read, whatever its type.
    func wholePiece(of model: Int) -> InputPiece { piece(of: model, 0..<inputs[model].byteCount, start: 0) }

    private func piece(of model: Int, _ bytes: Range<Int>, start: Int) -> InputPiece {
        InputPiece(
            tensor: planned.output.name, model: planned.readModels.lowerBound + model, input: inputs[model],
            location: locations[model], dtype: dtypes[model], range: bytes, start: start)
    }

    fileprivate func chunk(_ range: Range<Int>, of sources: [MergeSource]) -> MergeChunk {
        MergeChunk(
            tensor: planned.number, number: range.lowerBound / MergeChunk.capacity, range: range,
            base: hasBase ? sources[0] : nil, experts: hasBase ? Array(sources.dropFirst()) : sources)
    }
}

/// A tensor of several merges with its bytes in all of their models, each of which is there once.
struct LoadedShare: Sendable {
    /// What one of the merges does with it.
    struct Use: Sendable {
        let lane: Int
        let tensor: LoadedTensor
    }

    /// A run of its elements in one of the merges.
    struct Chunk {
        let lane: Int
        let tensor: LoadedTensor
        let chunk: MergeChunk
    }

    /// At least one.
    let uses: [Use]

    /// The uses of some of the merges; nil when there are none.
    func filter(_ isWanted: (Use) -> Bool) -> LoadedShare? {
        let wanted = uses.filter(isWanted)
        return wanted.isEmpty ? nil : LoadedShare(uses: wanted)
    }

    /// The elements of the chunks; none for a tensor without elements.
    var chunks: [Range<Int>] { uses[0].tensor.chunks }

    /// Calls `body` with the chunk of every merge.
    ///
    /// - Throws: what `body` throws, and what reading elements threw that are made as they are read.
    func withChunks<R>(_ range: Range<Int>, _ body: ([Chunk]) throws -> R) throws -> R {
        let failure = ReadFailure()
        var shared: [InputKey: MergeSource] = [:]
        let chunks = try uses.map { use in
            let sources = try use.tensor.sources(range, sharing: &shared, failure)
            return Chunk(lane: use.lane, tensor: use.tensor, chunk: use.tensor.chunk(range, of: sources))
        }
        let result = try withExtendedLifetime(uses) { try body(chunks) }
        try failure.check()
        return result
    }

    /// Asks the kernel to read a chunk from the disk.
    func prefetch(_ range: Range<Int>) {
        var seen: Set<InputKey> = []
        for tensor in uses.map(\.tensor) {
            for (model, key) in tensor.keys.enumerated() where seen.insert(key).inserted {
                tensor.inputs[model].prefetch(range, tensor.dtypes[model])
            }
        }
    }
}

/// One tensor of a checkpoint that merges have opened together, as it is read.
struct InputKey: Hashable, Sendable {
    let store: ObjectIdentifier
    let index: Int
    /// Whether it is merged element by element, and so may be made as it is read.
    let isElementwise: Bool
}

/// One tensor of one model: its bytes, or what makes them as they are read.
enum TensorInput: Sendable {
    case bytes(TensorBytes)
    /// A tensor of a reader, of which the pool's buffers hold a part.
    case made(any CheckpointReader, Int, BufferPool)

    /// Opens a tensor.
    ///
    /// - Parameter inWindows: whether it may be made as it is read, where that is better.
    /// - Throws: what the reader throws.
    init(_ index: Int, of reader: any CheckpointReader, inWindows: Bool) throws {
        if inWindows, let byteCount = reader.windowByteCount(of: index) {
            self = .made(reader, index, BufferPool(byteCount: byteCount))
        } else {
            self = .bytes(try reader.bytes(of: index))
        }
    }

    /// Elements of the tensor, which are valid while the input lives.
    ///
    /// - Parameters:
    ///   - elements: those that will be read.
    ///   - failure: gets to know of an error of making them.
    func source(_ elements: Range<Int>, _ dtype: DType, _ failure: ReadFailure) throws -> MergeSource {
        switch self {
        case .bytes(let owner):
            // Safety: the bytes are valid while their owner lives, which is longer than they are used.
            return MergeSource(bytes: owner.withUnsafeBytes { $0 }, dtype: dtype)
        case .made(let reader, let index, let pool):
            let width = dtype.bitWidth / 8
            let window = try TensorWindow(
                reader, index, in: elements.lowerBound * width..<elements.upperBound * width, pool: pool)
            return MergeSource(making: window, dtype: dtype, failure: failure)
        }
    }

    /// Asks the kernel to read elements from the disk.
    func prefetch(_ elements: Range<Int>, _ dtype: DType) {
        guard case .bytes(let owner) = self else { return }
        MergeSource(bytes: owner.withUnsafeBytes { $0 }, dtype: dtype).prefetch(elements)
    }

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
