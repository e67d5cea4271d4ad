import Checkpoints
import Kernels
import TensorCore

/// How two checkpoints differ.
public struct CheckpointDifference: Sendable {
    /// A tensor that both checkpoints have and that is not the same in them.
    public struct Change: Sendable {
        public let name: TensorName
        public let a: TensorDescriptor
        public let b: TensorDescriptor
        /// The number of elements that differ by more than the tolerance; nil when the shapes differ, or the types where one
        /// of them does not compute.
        public let differingCount: Int?
        /// The largest absolute difference and the root of the mean square over all elements, nil where elements are compared
        /// bit for bit. Not a number when a number stands against NaN, or two different infinities make it so.
        public let maximum: Double?
        public let rootMeanSquare: Double?
    }

    public let onlyInA: [TensorName]
    public let onlyInB: [TensorName]
    /// In the order of the first checkpoint.
    public let changes: [Change]
    /// How many tensors are in both and were compared.
    public let comparedCount: Int
    /// Every tensor that was compared as numbers and holds NaN or an infinity, whether it differs or not, of the models `a` and
    /// `b`; in the order of the first checkpoint.
    public let notFinite: [NonFiniteTensor]

    public var isEmpty: Bool { onlyInA.isEmpty && onlyInB.isEmpty && changes.isEmpty }
}

/// Compares two checkpoints of any format, tensor by tensor.
///
/// F16, BF16, F32, F64 and the eight-bit floats are compared as numbers, also with each other: zeros of either sign are equal,
/// NaN only equals NaN with the same bits of the same type, and an infinity itself; what is equal so has no part in the largest
/// difference and the root of the mean square. All other types are compared bit for bit, element by element.
///
/// Tensors that must be decoded are read in pieces where their format has pieces; `workingByteCount` says what a thread takes.
public struct CheckpointComparison: Sendable {
    public var selection: TensorSelection
    /// The absolute difference up to which two numbers are the same.
    public var tolerance: Double
    public var threads: Int

    public init(selection: TensorSelection = TensorSelection(), tolerance: Double = 0, threads: Int) {
        self.selection = selection
        self.tolerance = tolerance
        self.threads = threads
    }

    /// Elements of a chunk; a multiple of 4, so that a chunk of six-bit elements ends at a byte. Fixed, so that sums do not
    /// depend on the threads.
    private static let chunkElementCount = 1 << 20

    private struct Pair {
        let name: TensorName
        let a: TensorDescriptor
        let indexA: Int
        let b: TensorDescriptor
        let indexB: Int

        /// Whether values can be compared at all, and whether as numbers.
        var areNumbers: Bool {
            a.shape == b.shape && ElementDifference.areNumbers(a.dtype) && ElementDifference.areNumbers(b.dtype)
        }
        var areComparable: Bool { areNumbers || a.shape == b.shape && a.dtype == b.dtype }
    }

    /// Compares two checkpoints, tensor by tensor.
    ///
    /// - Parameter progress: receives the bytes read from both since the last call, from any thread; they add up to
    ///   `byteCount(of:and:)`.
    /// - Throws: `FormatError` when stored data is damaged, `IOError` when there is no memory to decode it.
    public func compare(
        _ a: TensorStore, _ b: TensorStore, progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> CheckpointDifference {
        let pairs = pairs(a, b)
        var pieces: [(pair: Int, elements: Range<Int>)] = []
        for (number, pair) in pairs.enumerated() where pair.areComparable {
            let count = pair.a.elementCount
            let size = max(pieceElementCount(of: pair.a, pair.indexA, a), pieceElementCount(of: pair.b, pair.indexB, b))
            for start in stride(from: 0, to: count, by: size) {
                pieces.append((number, start..<min(count - start, size) + start))
            }
        }
        let scratch = BufferPool(byteCount: ElementDifference.scratchByteCount)
        let windowsA = BufferPool(byteCount: pairs.map { windowByteCount(of: $0.indexA, a) }.max() ?? 0)
        let windowsB = BufferPool(byteCount: pairs.map { windowByteCount(of: $0.indexB, b) }.max() ?? 0)
        let tolerance = tolerance
        let partials = try parallelMap(count: pieces.count, threads: threads) { [pieces] number in
            let piece = pieces[number]
            let pair = pairs[piece.pair]
            let windowA = try TensorWindow(
                a.reader, pair.indexA, in: pair.a.dtype.byteRange(of: piece.elements), pool: windowsA)
            let windowB = try TensorWindow(
                b.reader, pair.indexB, in: pair.b.dtype.byteRange(of: piece.elements), pool: windowsB)
            var differences: [ElementDifference] = []
            for start in stride(
                from: piece.elements.lowerBound, to: piece.elements.upperBound, by: Self.chunkElementCount)
            {
                let end = min(piece.elements.upperBound - start, Self.chunkElementCount) + start
                try windowA.withBytes(pair.a.dtype.byteRange(of: start..<end)) { partA in
                    try windowB.withBytes(pair.b.dtype.byteRange(of: start..<end)) { partB in
                        try scratch.withBuffer { buffer in
                            differences.append(
                                ElementDifference(
                                    partA, pair.a.dtype, partB, pair.b.dtype, tolerance: tolerance, scratch: buffer))
                        }
                        progress(partA.count + partB.count)
                    }
                }
            }
            return differences
        }
        // Chunk by chunk, so that sums do not depend on what was read together.
        var totals = [ElementDifference](repeating: ElementDifference(), count: pairs.count)
        for (piece, partial) in zip(pieces, partials) { partial.forEach { totals[piece.pair].combine($0) } }
        return CheckpointDifference(
            onlyInA: missing(from: b, in: a), onlyInB: missing(from: a, in: b),
            changes: zip(pairs, totals).compactMap(Self.change), comparedCount: pairs.count,
            notFinite: zip(pairs, totals).flatMap { pair, total in
                [
                    NonFiniteTensor(
                        model: "a", file: a.reader.location(of: pair.indexA).file.string, tensor: pair.name,
                        count: total.nonFiniteA),
                    NonFiniteTensor(
                        model: "b", file: b.reader.location(of: pair.indexB).file.string, tensor: pair.name,
                        count: total.nonFiniteB),
                ].filter { !$0.count.isZero }
            })
    }

    /// The memory that a thread takes for the tensors of both checkpoints that are not mapped.
    public func workingByteCount(of a: TensorStore, and b: TensorStore) -> Int {
        pairs(a, b).filter(\.areComparable).map { workingByteCount(of: $0, a, b) }.max() ?? 0
    }

    private func workingByteCount(of pair: Pair, _ a: TensorStore, _ b: TensorStore) -> Int {
        windowByteCount(of: pair.indexA, a) + a.reader.decodingByteCount(of: pair.indexA)
            + windowByteCount(of: pair.indexB, b) + b.reader.decodingByteCount(of: pair.indexB)
    }

    /// Makes sure that tensors which decode only whole fit into a memory beside what they are compared with.
    ///
    /// - Throws: `IOError` `io.memory` with the least that works.
    public func requireMemory(_ limit: Int, toCompare a: TensorStore, _ b: TensorStore) throws(IOError) {
        for pair in pairs(a, b) where pair.areComparable {
            let working = workingByteCount(of: pair, a, b)
            if !a.reader.canReadRanges(of: pair.indexA) {
                try a.reader.requireMemory(limit, for: working, toDecode: pair.indexA)
            } else if !b.reader.canReadRanges(of: pair.indexB) {
                try b.reader.requireMemory(limit, for: working, toDecode: pair.indexB)
            }
        }
    }

    /// How many elements are best read together: all of a tensor that decodes only whole, so that it is decoded once, else as
    /// many chunks as lie in a piece of the format.
    private func pieceElementCount(of tensor: TensorDescriptor, _ index: Int, _ store: TensorStore) -> Int {
        guard store.reader.canReadRanges(of: index) else { return max(tensor.elementCount, 1) }
        let together = store.reader.decodedTogetherByteCount(of: index)
        let chunk = tensor.dtype.byteRange(of: 0..<Self.chunkElementCount).count
        return Self.chunkElementCount * max(1, (together + chunk - 1) / chunk)
    }

    /// The size of the window for a tensor that is read in ranges.
    private func windowByteCount(of index: Int, _ store: TensorStore) -> Int {
        guard !store.reader.isMapped(index), store.reader.canReadRanges(of: index) else { return 0 }
        let tensor = store.descriptors[index]
        let elements = min(tensor.elementCount, pieceElementCount(of: tensor, index, store))
        return max(tensor.dtype.byteRange(of: 0..<elements).count, store.reader.decodedTogetherByteCount(of: index))
    }

    /// The bytes that a comparison reads.
    public func byteCount(of a: TensorStore, and b: TensorStore) -> Int {
        pairs(a, b).filter(\.areComparable).reduce(0) { $0 + $1.a.byteCount + $1.b.byteCount }
    }

    private func pairs(_ a: TensorStore, _ b: TensorStore) -> [Pair] {
        a.descriptors.enumerated().compactMap { indexA, descriptor in
            guard selection.contains(descriptor.name), let indexB = b.index(of: descriptor.name) else { return nil }
            return Pair(
                name: descriptor.name, a: descriptor, indexA: indexA, b: b.descriptors[indexB], indexB: indexB)
        }
    }

    private func missing(from other: TensorStore, in store: TensorStore) -> [TensorName] {
        store.descriptors.map(\.name).filter { selection.contains($0) && other.index(of: $0) == nil }
    }

    private static func change(_ pair: Pair, _ total: ElementDifference) -> CheckpointDifference.Change? {
        let isSameKind = pair.a.dtype == pair.b.dtype && pair.a.shape == pair.b.shape
        if isSameKind, total.differingCount == 0 { return nil }
        let count = Double(max(pair.a.elementCount, 1))
        return CheckpointDifference.Change(
            name: pair.name, a: pair.a, b: pair.b,
            differingCount: pair.areComparable ? total.differingCount : nil,
            maximum: pair.areNumbers ? total.maximum : nil,
            rootMeanSquare: pair.areNumbers ? (total.sumOfSquares / count).squareRoot() : nil)
    }
}

extension DType {
    /// The bytes of a range of elements that begins and ends at whole bytes.
    fileprivate func byteRange(of elements: Range<Int>) -> Range<Int> {
        // In this order nothing overflows: the tensor's size in bits fits.
        elements.lowerBound * bitWidth / 8..<elements.upperBound * bitWidth / 8
    }
}
