import Checkpoints
import Kernels
import Synchronization
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

    public var isEmpty: Bool { onlyInA.isEmpty && onlyInB.isEmpty && changes.isEmpty }
}

/// Compares two checkpoints of any format, tensor by tensor.
///
/// F16, BF16, F32 and F64 are compared as numbers, also with each other: zeros of either sign are equal, NaN only equals
/// NaN with the same bits of the same type. All other types are compared bit for bit, element by element.
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
        var areNumbers: Bool { a.shape == b.shape && a.dtype.isComputable && b.dtype.isComputable }
        var areComparable: Bool { areNumbers || a.shape == b.shape && a.dtype == b.dtype }
    }

    /// - Parameter progress: receives the bytes read from both since the last call, from any thread; they add up to
    ///   `byteCount(of:and:)`.
    /// - Throws: `FormatError` when stored data is damaged, `IOError` when there is no memory to decode it.
    public func compare(
        _ a: TensorStore, _ b: TensorStore, progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) throws -> CheckpointDifference {
        let pairs = pairs(a, b)
        var chunks: [(pair: Int, elements: Range<Int>)] = []
        for (number, pair) in pairs.enumerated() where pair.areComparable {
            let count = pair.a.elementCount
            // A tensor that must be decoded is decoded once, so it is one chunk, walked in steps.
            let isMapped = a.reader.isMapped(pair.indexA) && b.reader.isMapped(pair.indexB)
            let size = isMapped ? Self.chunkElementCount : max(count, 1)
            for start in stride(from: 0, to: count, by: size) {
                chunks.append((number, start..<min(count - start, size) + start))
            }
        }
        let partials = Mutex([ElementDifference](repeating: ElementDifference(), count: chunks.count))
        let scratch = ScratchPool(byteCount: ElementDifference.scratchByteCount)
        let tolerance = tolerance
        try forEachChunk(count: chunks.count, threads: threads) { [chunks] number in
            let chunk = chunks[number]
            let pair = pairs[chunk.pair]
            let bytesA = try a.reader.bytes(of: pair.indexA)
            let bytesB = try b.reader.bytes(of: pair.indexB)
            var difference = ElementDifference()
            for start in stride(
                from: chunk.elements.lowerBound, to: chunk.elements.upperBound, by: Self.chunkElementCount)
            {
                let end = min(chunk.elements.upperBound - start, Self.chunkElementCount) + start
                try bytesA.withUnsafeBytes { allA in
                    try bytesB.withUnsafeBytes { allB in
                        let partA = pair.a.dtype.slice(start..<end, of: allA)
                        let partB = pair.b.dtype.slice(start..<end, of: allB)
                        try scratch.withBuffer { buffer in
                            difference.combine(
                                ElementDifference(
                                    partA, pair.a.dtype, partB, pair.b.dtype, tolerance: tolerance, scratch: buffer))
                        }
                        progress(partA.count + partB.count)
                    }
                }
            }
            partials.withLock { $0[number] = difference }
        }
        var totals = [ElementDifference](repeating: ElementDifference(), count: pairs.count)
        for (chunk, partial) in zip(chunks, partials.withLock { $0 }) { totals[chunk.pair].combine(partial) }
        return CheckpointDifference(
            onlyInA: missing(from: b, in: a), onlyInB: missing(from: a, in: b),
            changes: zip(pairs, totals).compactMap(Self.change), comparedCount: pairs.count)
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
    fileprivate func slice(_ elements: Range<Int>, of bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        // In this order nothing overflows: the tensor's size in bits fits.
        UnsafeRawBufferPointer(rebasing: bytes[elements.lowerBound * bitWidth / 8..<elements.upperBound * bitWidth / 8])
    }
}
