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
        let compared = pairs.filter(\.areComparable)
        let scratch = BufferPool(byteCount: ElementDifference.scratchByteCount)
        let tolerance = tolerance
        let found = try sweep(compared, a, b).map(threads: threads) { chunk in
            let pair = compared[chunk.item]
            return try scratch.withBuffer { buffer in
                defer { progress(chunk.parts[0].count + chunk.parts[1].count) }
                return ElementDifference(
                    chunk.parts[0], pair.a.dtype, chunk.parts[1], pair.b.dtype, tolerance: tolerance, scratch: buffer)
            }
        }
        var differences = found.makeIterator()
        let totals = pairs.map { pair in
            var total = ElementDifference()
            if pair.areComparable { differences.next()?.forEach { total.combine($0) } }
            return total
        }
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
        sweep(pairs(a, b).filter(\.areComparable), a, b).workingByteCount
    }

    /// The bytes that a comparison reads.
    public func byteCount(of a: TensorStore, and b: TensorStore) -> Int {
        sweep(pairs(a, b).filter(\.areComparable), a, b).byteCount
    }

    private func sweep(_ pairs: [Pair], _ a: TensorStore, _ b: TensorStore) -> TensorSweep {
        TensorSweep(
            pairs.map { pair in
                TensorSweep.Item(
                    [(a.reader, pair.indexA), (b.reader, pair.indexB)], chunkCount: Self.chunkElementCount)
            })
    }

    /// Makes sure that tensors which decode only whole fit into a memory beside what they are compared with.
    ///
    /// - Throws: `IOError` `io.memory` with the least that works.
    public func requireMemory(_ limit: Int, toCompare a: TensorStore, _ b: TensorStore) throws(IOError) {
        for pair in pairs(a, b) where pair.areComparable {
            let working = sweep([pair], a, b).workingByteCount
            if !a.reader.canReadRanges(of: pair.indexA) {
                try a.reader.requireMemory(limit, for: working, toDecode: pair.indexA)
            } else if !b.reader.canReadRanges(of: pair.indexB) {
                try b.reader.requireMemory(limit, for: working, toDecode: pair.indexB)
            }
        }
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
