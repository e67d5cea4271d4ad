import Kernels
import Synchronization
import TensorCore

/// A weight with changes of low rank, which are added while it is read: any run of its elements by itself.
///
///     W + s B A                        LoRA
///     m (W + s B A) / ‖W₀ + s B A‖      DoRA, each output by itself, W₀ the base without other adapters
///
/// Sums are taken in F32, or in F64 where that is stored, and rounded once to the type of the weight. Results do not depend on how
/// the elements are cut into runs.
final class FoldedWeight: Sendable {
    /// What is stored: `[matrices, rows, columns]`.
    private let source: any CheckpointReader
    private let place: Int
    let descriptor: TensorDescriptor
    private let matrices, rows, columns: Int
    private let updates: [LowRankUpdate]
    /// What each update multiplies the outputs with, in F64; made when the first element is read.
    private let factors = Mutex<[[Double]?]?>(nil)

    /// Takes a stored weight.
    ///
    /// - Parameters:
    ///   - source: whose tensor it is, of a type that `cast` knows.
    ///   - descriptor: of the result, of a type that computes and the shape of the stored tensor.
    ///   - matrices: how many matrices the weight is a stack of.
    ///   - updates: whose rows and columns are those of the matrices; none of several matrices has magnitudes.
    init(
        _ source: any CheckpointReader, _ place: Int, as descriptor: TensorDescriptor, matrices: Int = 1,
        rows: Int, columns: Int, updates: [LowRankUpdate]
    ) {
        self.source = source
        self.place = place
        self.descriptor = descriptor
        self.matrices = matrices
        self.rows = rows
        self.columns = columns
        self.updates = updates
    }

    var canReadRanges: Bool { source.canReadRanges(of: place) }

    /// Some whole rows, so that factors are decoded for many elements at a time.
    var decodedTogetherByteCount: Int {
        guard canReadRanges else { return descriptor.byteCount }
        let row = max(1, columns) * descriptor.dtype.bitWidth / 8
        return max(source.decodedTogetherByteCount(of: place), row, (Self.pieceByteCount / row) * row)
    }
    private static let pieceByteCount = 4 << 20

    /// Reads a range of the bytes of the folded weight.
    ///
    /// - Throws: what the readers throw; `IOError` when there is no memory.
    func read(_ range: Range<Int>, into target: UnsafeMutableRawBufferPointer) throws {
        let isDouble =
            [descriptor.dtype, source.descriptors[place].dtype].contains(.f64) || updates.contains(where: \.needsDouble)
        if isDouble {
            try read(range, into: target, in: Double.self)
        } else {
            try read(range, into: target, in: Float.self)
        }
    }

    private func read<T: ElementwiseScalar>(
        _ range: Range<Int>, into target: UnsafeMutableRawBufferPointer, in scalar: T.Type
    ) throws {
        let width = descriptor.dtype.bitWidth / 8
        let first = range.lowerBound / width
        let elements = first..<max(first, (range.upperBound + width - 1) / width)
        let scales = try outputFactors(in: T.self)
        // A range may begin and end inside of an element.
        let isWhole = elements.lowerBound * width == range.lowerBound && elements.upperBound * width == range.upperBound
        let whole = isWhole ? nil : try AlignedBuffer(byteCount: elements.count * width, isZeroed: false)
        let output = whole?.mutableBytes ?? target
        try withRuns(of: elements, in: T.self, applying: updates.indices) { run, x in
            for (update, scale) in zip(run.updates, scales) {
                run.add(update, to: x)
                if let scale { run.multiply(x, by: scale, isByRow: !update.isTransposed) }
            }
            let start = (run.elements.lowerBound - elements.lowerBound) * width
            _ = T.write(
                UnsafeBufferPointer(start: x, count: run.elements.count),
                into: UnsafeMutableRawBufferPointer(rebasing: output[start..<start + run.elements.count * width]),
                as: descriptor.dtype)
        }
        if let whole {
            let skew = range.lowerBound - elements.lowerBound * width
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole.bytes[skew..<skew + range.count]))
        }
    }
}

// MARK: - Runs

extension FoldedWeight {
    /// A part of a stored row with what belongs to it.
    private struct Run<T: ElementwiseScalar> {
        /// Places in the stored order.
        let elements: Range<Int>
        let matrix, row: Int
        let columns: Range<Int>
        let updates: [Part]

        struct Part {
            let factors: LowRankFactors<T>
            let isTransposed: Bool
        }

        func add(_ part: Part, to x: UnsafeMutablePointer<T>) {
            part.factors.add(matrix: matrix, row: row, columns: columns, to: x)
        }

        func multiply(_ x: UnsafeMutablePointer<T>, by factors: [T], isByRow: Bool) {
            for i in 0..<columns.count { x[i] *= factors[isByRow ? row : columns.lowerBound + i] }
        }
    }

    /// Goes through elements run by run, with what is stored of each.
    ///
    /// Columns are cut so that those of the factors stay in the second-level cache while rows go by.
    private func withRuns<T: ElementwiseScalar>(
        of elements: Range<Int>, in scalar: T.Type, applying chosen: some Sequence<Int>,
        _ body: (Run<T>, UnsafeMutablePointer<T>) throws -> Void
    ) throws {
        guard !elements.isEmpty else { return }
        let stored = source.descriptors[place]
        let size = rows * columns
        let touched = elements.lowerBound / size..<(elements.upperBound - 1) / size + 1
        let parts = try chosen.map { number in
            let update = updates[number]
            return Run<T>.Part(
                factors: try update.factors(of: touched, in: T.self), isTransposed: update.isTransposed)
        }
        let rank = chosen.reduce(1) { $0 + updates[$1].rank }
        let tile = min(max(32768 / rank / 64 * 64, 64), 2048)
        try source.withStoredBytes(stored.layout.byteRange(of: elements), of: place) { bytes in
            try withUnsafeTemporaryAllocation(of: T.self, capacity: tile) { memory in
                for matrix in touched {
                    for part in parts { part.factors.begin(matrix: matrix) }
                    let own = elements.clamped(to: matrix * size..<(matrix + 1) * size)
                    let ownRows = own.lowerBound / columns..<(own.upperBound - 1) / columns + 1
                    for start in stride(from: 0, to: columns, by: tile) {
                        for row in ownRows {
                            let run = (row * columns + start..<row * columns + min(start + tile, columns)).clamped(
                                to: own)
                            guard !run.isEmpty else { continue }
                            let width = stored.dtype.bitWidth / 8
                            let offset = (run.lowerBound - elements.lowerBound) * width
                            let x = UnsafeMutableBufferPointer(rebasing: memory[..<run.count])
                            T.read(
                                UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + run.count * width]),
                                stored.dtype, into: x)
                            let first = run.lowerBound - row * columns
                            try body(
                                Run(
                                    elements: run, matrix: matrix, row: row - matrix * rows,
                                    columns: first..<first + run.count, updates: parts), x.baseAddress!)
                        }
                    }
                }
            }
        }
    }
}

// MARK: - Magnitudes

extension FoldedWeight {
    /// What the outputs are multiplied with after each update.
    private func outputFactors<T: ElementwiseScalar>(in scalar: T.Type) throws -> [[T]?] {
        guard updates.contains(where: { $0.magnitude != nil }) else { return updates.map { _ in nil } }
        let found = try factors.withLock { known in
            if let known { return known }
            let found = try updates.indices.map { number in
                try updates[number].magnitude.map { try outputFactors(of: number, magnitude: $0, in: T.self) }
            }
            known = found
            return found
        }
        return found.map { $0.map { $0.map { T($0) } } }
    }

    /// Magnitudes over the lengths of the base's outputs with one of the updates.
    private func outputFactors<T: ElementwiseScalar>(
        of number: Int, magnitude: Int, in scalar: T.Type
    ) throws -> [Double] {
        let update = updates[number]
        var squares = [Double](repeating: 0, count: update.outputs)
        try withRuns(of: 0..<descriptor.elementCount, in: T.self, applying: CollectionOfOne(number)) { run, x in
            run.add(run.updates[0], to: x)
            for i in 0..<run.columns.count {
                squares[update.isTransposed ? run.columns.lowerBound + i : run.row] += Double(x[i]) * Double(x[i])
            }
        }
        let lengths = try ElementBuffer<Double>(update.reader, magnitude)
        return zip(lengths.values, squares).map { $0 / $1.squareRoot() }
    }
}
