import Checkpoints
import Kernels
import TensorCore

/// The L2 norms of a checkpoint's floating-point tensors, and how many of their numbers are no numbers.
struct ModelNorms: Sendable {
    /// Sums of squares, by tensor.
    private(set) var squares: [TensorName: Double] = [:]
    private(set) var nanCount = 0
    private(set) var infinityCount = 0

    private static let chunkCount = 1 << 20
    private static let blockCount = 4096

    /// Reads the tensors once. The result does not depend on the number of threads.
    ///
    /// - Parameter names: the tensors to look at, in the order to read them in; others are left out.
    init(of store: TensorStore, _ names: [TensorName], threads: Int) throws {
        for name in names {
            guard let place = store.index(of: name), store.descriptors[place].dtype.isComputable else { continue }
            let descriptor = store.descriptors[place]
            let bytes = try store.reader.bytes(of: place)
            let chunkCount = (descriptor.elementCount + Self.chunkCount - 1) / Self.chunkCount
            let sums = FirstFailure<Sums>(count: chunkCount)
            parallelChunks(count: chunkCount, threads: threads) { chunk in
                let start = chunk * Self.chunkCount
                let range = start..<min(start + Self.chunkCount, descriptor.elementCount)
                sums.run(chunk) { bytes.withUnsafeBytes { Sums($0, range, descriptor.dtype) } }
            }
            var total = Sums()
            for sum in try sums.results() { total.add(sum) }
            squares[name] = total.squares
            nanCount += total.nanCount
            infinityCount += total.infinityCount
        }
    }

    /// The norm over some tensors; NaN as soon as one number is.
    func norm(over names: some Sequence<TensorName>) -> Double {
        names.reduce(0) { $0 + (squares[$1] ?? 0) }.squareRoot()
    }

    /// What a run of elements adds up to.
    private struct Sums {
        var squares = 0.0
        var nanCount = 0
        var infinityCount = 0

        init() {}

        init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ dtype: DType) {
            if dtype == .f64 {
                add(bytes, range, dtype, in: Double.self) { values, count in
                    sumOfSquares(values, minus: 0, scale: 1, count: count)
                }
            } else {
                add(bytes, range, dtype, in: Float.self) { values, count in sumOfSquares(values, count: count) }
            }
        }

        mutating func add(_ other: Sums) {
            squares += other.squares
            nanCount += other.nanCount
            infinityCount += other.infinityCount
        }

        private mutating func add<T: ElementwiseScalar>(
            _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ dtype: DType, in scalar: T.Type,
            _ sum: (UnsafePointer<T>, Int) -> Double
        ) {
            let width = dtype.bitWidth / 8
            withUnsafeTemporaryAllocation(of: T.self, capacity: ModelNorms.blockCount) { block in
                var start = range.lowerBound
                while start < range.upperBound {
                    let count = min(ModelNorms.blockCount, range.upperBound - start)
                    // Safety: the range lies in the tensor, the block in the allocation.
                    let values = UnsafeMutableBufferPointer(rebasing: block[..<count])
                    T.read(
                        UnsafeRawBufferPointer(rebasing: bytes[start * width..<(start + count) * width]), dtype,
                        into: values)
                    let squares = sum(UnsafePointer(block.baseAddress!), count)
                    self.squares += squares
                    if !squares.isFinite {
                        for value in values where !value.isFinite {
                            if value.isNaN { nanCount += 1 } else { infinityCount += 1 }
                        }
                    }
                    start += count
                }
            }
        }
    }
}
