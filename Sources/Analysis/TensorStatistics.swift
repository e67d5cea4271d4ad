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

    /// What the elements of one chunk of a tensor are like.
    public struct Part: Sendable {
        /// Elements of a chunk; the last one of a tensor may have fewer.
        public static let elementCount = 1 << 20

        fileprivate let counts: Counts
        fileprivate let squares: Squares

        /// Reads a chunk twice: deviations from the known mean keep digits that a single pass loses.
        ///
        /// - Parameter bytes: little-endian elements, at any alignment.
        /// - Returns: nil for complex and packed types, whose elements are not real numbers of whole bytes.
        public init?(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) {
            guard hasRealElements(dtype) else { return nil }
            counts = Counts(bytes, dtype)
            squares = Squares(bytes, dtype, counts)
        }
    }

    /// Reads a tensor.
    ///
    /// - Parameters:
    ///   - bytes: little-endian elements, at any alignment.
    ///   - budget: chunks of the tensor are read in parallel; the result does not depend on how many at a time.
    /// - Returns: nil as for a part.
    public init?(_ bytes: UnsafeRawBufferPointer, _ dtype: DType, budget: ComputeBudget = ComputeBudget(threads: 1)) {
        guard hasRealElements(dtype) else { return nil }
        let width = dtype.bitWidth / 8
        let chunks = chunkRanges(of: 0..<bytes.count / width * width, by: Part.elementCount * width)
        // Safety: the caller keeps the bytes alive and nobody writes them.
        nonisolated(unsafe) let bytes = bytes
        self.init(
            parallelMap(count: chunks.count, threads: budget.threads) {
                Part(UnsafeRawBufferPointer(rebasing: bytes[chunks[$0]]), dtype)
            }.compactMap { $0 }, of: dtype)
    }

    /// Puts the parts of a tensor together.
    ///
    /// - Parameter parts: of all chunks in their order.
    /// - Returns: nil as for a part.
    public init?(_ parts: [Part], of dtype: DType) {
        guard hasRealElements(dtype) else { return nil }
        let total = parts.reduce(into: Counts()) { $0.add($1.counts) }
        let (mean, scale) = (total.mean, total.scale)
        minimum = total.count == 0 ? .nan : total.minimum
        maximum = total.count == 0 ? .nan : total.maximum
        self.mean = mean
        // Of a part they are from its own mean, which adds the square of its distance from the mean of all.
        let deviations = parts.reduce(0.0) { sum, part in
            guard part.counts.count > 0 else { return sum }
            let distance = scale * part.counts.mean - scale * mean
            return sum + part.squares.deviations(scale: scale) + Double(part.counts.count) * distance * distance
        }
        standardDeviation = total.count == 0 ? .nan : (deviations / Double(total.count)).squareRoot() / scale
        norm = parts.reduce(0) { $0 + $1.squares.squares(scale: scale) }.squareRoot() / scale
        zeroCount = total.zeroCount
        nanCount = total.nanCount
        infinityCount = total.infinityCount
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

    /// The mean of the finite elements; NaN without any.
    var mean: Double {
        guard count > 0 else { return .nan }
        let count = Double(count)
        return hugeSum == 0 ? sum / count : (hugeSum / count + sum * 0x1p-64 / count) * 0x1p64
    }

    /// A factor for all elements: squares of values far from 1 would overflow or vanish, and a power of two scales without rounding.
    var scale: Double {
        let magnitude = max(abs(minimum), abs(maximum))
        let isOrdinary = count == 0 || magnitude == 0 || (1e-100...1e100).contains(magnitude)
        return isOrdinary ? 1 : Double(sign: .plus, exponent: min(1000, -magnitude.exponent), significand: 1)
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
    private var squares = 0.0
    private var deviations = 0.0
    /// The factor of all elements.
    private let scale: Double

    init(_ bytes: UnsafeRawBufferPointer, _ dtype: DType, _ counts: Counts) {
        scale = counts.scale
        let isFinite = counts.nanCount + counts.infinityCount == 0
        forEachBlock(of: bytes, dtype) { block in
            if isFinite {
                add(block, mean: counts.mean)
            } else {
                block.filter(\.isFinite).withUnsafeBufferPointer { add($0, mean: counts.mean) }
            }
        }
    }

    private mutating func add(_ values: UnsafeBufferPointer<Double>, mean: Double) {
        guard let first = values.baseAddress else { return }
        squares += sumOfSquares(first, minus: 0, scale: scale, count: values.count)
        deviations += sumOfSquares(first, minus: mean, scale: scale, count: values.count)
    }

    /// The squares of all elements, and of what they are from their mean, times another factor.
    func squares(scale other: Double) -> Double { squares * (other / scale) * (other / scale) }
    func deviations(scale other: Double) -> Double { deviations * (other / scale) * (other / scale) }
}
