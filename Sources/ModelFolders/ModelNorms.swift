import Checkpoints
import Kernels
import TensorCore

/// The L2 norms of a checkpoint's floating-point tensors, and how many of their numbers are no numbers.
struct ModelNorms: Sendable {
    private var sums: [TensorName: NormSums] = [:]

    private static let chunkCount = 1 << 20

    init() {}

    /// Reads tensors once. The result does not depend on the number of threads.
    ///
    /// - Parameter names: the tensors to look at, in the order to read them in; others are left out.
    init(of store: TensorStore, _ names: some Sequence<TensorName>, threads: Int) throws {
        for name in names {
            guard let place = store.index(of: name), store.descriptors[place].dtype.isComputable else { continue }
            let descriptor = store.descriptors[place]
            let bytes = try store.reader.bytes(of: place)
            let count = (descriptor.elementCount + Self.chunkCount - 1) / Self.chunkCount
            let width = descriptor.dtype.bitWidth / 8
            let chunks = parallelMap(count: count, threads: threads) { chunk in
                let start = chunk * Self.chunkCount
                let end = min(start + Self.chunkCount, descriptor.elementCount)
                var sums = NormSums()
                bytes.withUnsafeBytes {
                    sums.add(UnsafeRawBufferPointer(rebasing: $0[start * width..<end * width]), descriptor.dtype)
                }
                return sums
            }
            self[name] = chunks.reduce(into: NormSums()) { $0.add($1) }
        }
    }

    /// Nil for tensors that were not looked at, or do not compute.
    subscript(name: TensorName) -> NormSums? {
        get { sums[name] }
        set { sums[name] = newValue }
    }

    var nanCount: Int { sums.values.reduce(0) { $0 + $1.nanCount } }
    var infinityCount: Int { sums.values.reduce(0) { $0 + $1.infinityCount } }

    /// The norm over some tensors; NaN as soon as one number is.
    func norm(over names: some Sequence<TensorName>) -> Double {
        names.reduce(0) { $0 + (sums[$1]?.squares ?? 0) }.squareRoot()
    }
}

/// What the numbers of a tensor add up to.
struct NormSums: Sendable {
    private(set) var squares = 0.0
    private(set) var nanCount = 0
    private(set) var infinityCount = 0

    /// Elements that are worked on at a time.
    private static let blockCount = 4096

    var norm: Double { squares.squareRoot() }

    mutating func add(_ other: NormSums) {
        squares += other.squares
        nanCount += other.nanCount
        infinityCount += other.infinityCount
    }

    /// Adds the squares of stored numbers.
    ///
    /// - Precondition: the type computes, and the bytes are whole elements of it.
    mutating func add(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) {
        if dtype == .f64 {
            add(bytes, dtype, in: Double.self) { values, count in
                sumOfSquares(values, minus: 0, scale: 1, count: count)
            }
        } else {
            add(bytes, dtype, in: Float.self) { values, count in sumOfSquares(values, count: count) }
        }
    }

    private mutating func add<T: ElementwiseScalar>(
        _ bytes: UnsafeRawBufferPointer, _ dtype: DType, in scalar: T.Type,
        _ sum: (UnsafePointer<T>, Int) -> Double
    ) {
        let width = dtype.bitWidth / 8
        let total = bytes.count / width
        withUnsafeTemporaryAllocation(of: T.self, capacity: Self.blockCount) { memory in
            for start in stride(from: 0, to: total, by: Self.blockCount) {
                let count = min(Self.blockCount, total - start)
                // Safety: the range lies in the bytes, the block in the allocation.
                let block = UnsafeRawBufferPointer(rebasing: bytes[start * width..<(start + count) * width])
                if dtype == .bf16, let squares = sumOfSquares(bfloats: block) {
                    self.squares += squares
                    continue
                }
                let values = UnsafeMutableBufferPointer(rebasing: memory[..<count])
                T.read(block, dtype, into: values)
                let squares = sum(UnsafePointer(memory.baseAddress!), count)
                self.squares += squares
                guard !squares.isFinite else { continue }
                for value in values where !value.isFinite {
                    if value.isNaN { nanCount += 1 } else { infinityCount += 1 }
                }
            }
        }
    }
}
