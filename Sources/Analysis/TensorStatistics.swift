import Kernels
import TensorCore

/// What the values of one tensor are like.
///
/// NaN and infinities are counted and take no part in anything else: extremes, mean, deviation and norm are those of the finite
/// elements. Sums are taken in F64 in a fixed order, so that they depend on the elements alone.
public struct TensorStatistics: Sendable, Hashable {
    /// The extremes of the finite elements; NaN when there is none.
    public let minimum: Double
    public let maximum: Double
    /// The mean of the finite elements; NaN when there is none.
    public let mean: Double
    /// The root of the mean squared deviation from the mean (divided by N, as NumPy does); NaN when there is no finite element.
    public let standardDeviation: Double
    /// The Euclidean norm of the finite elements.
    public let norm: Double
    /// Elements equal to zero, of either sign.
    public let zeroCount: Int
    public let nanCount: Int
    /// Infinities of either sign.
    public let infinityCount: Int

    /// Reads a tensor twice: deviations from the known mean keep digits that a single pass loses.
    ///
    /// - Parameters:
    ///   - bytes: little-endian elements, at any alignment.
    ///   - budget: chunks of the tensor are read in parallel; the result does not depend on how many at a time.
    /// - Returns: nil for complex and packed types, whose elements are not real numbers of whole bytes.
    public init?(_ bytes: UnsafeRawBufferPointer, _ dtype: DType, budget: ComputeBudget = ComputeBudget(threads: 1)) {
        guard hasRealElements(dtype) else { return nil }
        let chunks = Self.chunks(of: bytes.count, dtype).map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
        self.init(Self.sum(chunks, budget) { Counts($0, dtype) }) { mean, scale, isFinite in
            Self.sum(chunks, budget) { Squares($0, dtype, mean: mean, scale: scale, isFinite: isFinite) }
        }
    }

    /// Reads a tensor that need not be in memory as a whole, twice and in order; the result is that of the other initialiser.
    ///
    /// - Parameter read: calls its second argument with a range of the tensor's bytes.
    /// - Returns: nil for complex and packed types.
    /// - Throws: what `read` throws.
    public init?(
        byteCount: Int, _ dtype: DType,
        read: (Range<Int>, (UnsafeRawBufferPointer) -> Void) throws -> Void
    ) rethrows {
        guard hasRealElements(dtype) else { return nil }
        let chunks = Self.chunks(of: byteCount, dtype)
        var counts: [Counts] = []
        for chunk in chunks { try read(chunk) { counts.append(Counts($0, dtype)) } }
        try self.init(counts) { mean, scale, isFinite in
            var squares: [Squares] = []
            for chunk in chunks {
                try read(chunk) { squares.append(Squares($0, dtype, mean: mean, scale: scale, isFinite: isFinite)) }
            }
            return squares
        }
    }

    /// Puts the counts of all chunks together in their order.
    ///
    /// - Parameter measureSquares: the second pass, told the mean, a factor for all values, and whether all are finite.
    private init(
        _ counts: [Counts], measureSquares: (_ mean: Double, _ scale: Double, _ isFinite: Bool) throws -> [Squares]
    ) rethrows {
        let total = counts.reduce(into: Counts()) { $0.add($1) }
        let mean = total.count == 0 ? .nan : total.mean
        // Squares of values far from 1 would overflow or vanish; a power of two scales without rounding.
        let magnitude = max(abs(total.minimum), abs(total.maximum))
        let isOrdinary = total.count == 0 || magnitude == 0 || (1e-100...1e100).contains(magnitude)
        let scale = isOrdinary ? 1 : Double(sign: .plus, exponent: min(1000, -magnitude.exponent), significand: 1)
        let isFinite = total.nanCount + total.infinityCount == 0
        let squares = try measureSquares(mean, scale, isFinite)
        minimum = total.count == 0 ? .nan : total.minimum
        maximum = total.count == 0 ? .nan : total.maximum
        self.mean = mean
        let deviations = squares.reduce(0) { $0 + $1.deviations }
        standardDeviation = total.count == 0 ? .nan : (deviations / Double(total.count)).squareRoot() / scale
        norm = squares.reduce(0) { $0 + $1.squares }.squareRoot() / scale
        zeroCount = total.zeroCount
        nanCount = total.nanCount
        infinityCount = total.infinityCount
    }

    /// Elements whose sums are taken together, whatever the number of threads.
    private static let chunkCount = 1 << 20

    private static func chunks(of byteCount: Int, _ dtype: DType) -> [Range<Int>] {
        let width = dtype.bitWidth / 8
        return chunkRanges(of: 0..<byteCount / width * width, by: chunkCount * width)
    }

    /// Measures chunks in parallel; results come in their order.
    private static func sum<Part: Sendable>(
        _ chunks: [UnsafeRawBufferPointer], _ budget: ComputeBudget,
        _ measure: @Sendable (UnsafeRawBufferPointer) -> Part
    ) -> [Part] {
        // Safety: the caller keeps the bytes alive and nobody writes them.
        nonisolated(unsafe) let chunks = chunks
        return parallelMap(count: chunks.count, threads: budget.threads) { measure(chunks[$0]) }
    }
}

/// What the first pass finds in a chunk.
private struct Counts: Sendable {
    var count = 0
    var zeroCount = 0
    var nanCount = 0
    var infinityCount = 0
    var minimum = Double.infinity
    var maximum = -Double.infinity
    var sum = 0.0
    /// Of blocks with numbers that F64 may not hold the sum of, times 2^-64.
    var hugeSum = 0.0

    /// The mean of the finite elements.
    ///
    /// - Precondition: there are finite elements.
    var mean: Double {
        let count = Double(count)
        return hugeSum == 0 ? sum / count : (hugeSum / count + sum * 0x1p-64 / count) * 0x1p64
    }

    init() {}

    init(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) {
        forEachBlock(of: bytes, dtype) { block in
            if isFinite(block.baseAddress!, count: block.count) {
                addFinite(block)
            } else {
                for value in block {
                    if value.isNaN { nanCount += 1 } else if value.isInfinite { infinityCount += 1 }
                }
                let finite = block.filter(\.isFinite)
                finite.withUnsafeBufferPointer { addFinite($0) }
            }
        }
    }

    private mutating func addFinite(_ values: UnsafeBufferPointer<Double>) {
        guard let first = values.baseAddress, values.count > 0 else { return }
        let (low, high) = extremes(first, count: values.count)
        var zeros: UInt32 = 0
        for i in 0..<values.count { zeros &+= first[i].zeroBit }
        count += values.count
        minimum = min(minimum, low)
        maximum = max(maximum, high)
        if max(-low, high) < 0x1p900 {
            sum += Kernels.sum(first, count: values.count)
        } else {
            hugeSum += values.map { $0 * 0x1p-64 }.withUnsafeBufferPointer {
                Kernels.sum($0.baseAddress!, count: $0.count)
            }
        }
        zeroCount += Int(zeros)
    }

    mutating func add(_ other: Counts) {
        count += other.count
        zeroCount += other.zeroCount
        nanCount += other.nanCount
        infinityCount += other.infinityCount
        minimum = min(minimum, other.minimum)
        maximum = max(maximum, other.maximum)
        sum += other.sum
        hugeSum += other.hugeSum
    }
}

/// What the second pass finds in a chunk.
private struct Squares: Sendable {
    var squares = 0.0
    var deviations = 0.0

    init(_ bytes: UnsafeRawBufferPointer, _ dtype: DType, mean: Double, scale: Double, isFinite: Bool) {
        forEachBlock(of: bytes, dtype) { block in
            if isFinite {
                add(block, mean: mean, scale: scale)
            } else {
                block.filter(\.isFinite).withUnsafeBufferPointer { add($0, mean: mean, scale: scale) }
            }
        }
    }

    private mutating func add(_ values: UnsafeBufferPointer<Double>, mean: Double, scale: Double) {
        guard let first = values.baseAddress else { return }
        squares += sumOfSquares(first, minus: 0, scale: scale, count: values.count)
        deviations += sumOfSquares(first, minus: mean, scale: scale, count: values.count)
    }
}
