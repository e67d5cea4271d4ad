import TensorCore

/// What the values of one tensor are like.
///
/// NaN and infinities are counted and take no part in anything else: extremes, mean, deviation and norm are those of the finite
/// elements. Sums are taken in F64 in the order of the elements, so that they depend on nothing else.
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
    /// - Parameter bytes: little-endian elements, at any alignment.
    /// - Returns: nil for complex and packed types, whose elements are not real numbers of whole bytes.
    public init?(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) {
        guard hasRealElements(dtype) else { return nil }
        var (count, zeroCount, nanCount, infinityCount) = (0, 0, 0, 0)
        var (minimum, maximum, sum) = (Double.infinity, -Double.infinity, 0.0)
        forEachBlock(of: bytes, dtype) { block in
            for value in block {
                if value.isFinite {
                    count += 1
                    if value == 0 { zeroCount += 1 }
                    if value < minimum { minimum = value }
                    if value > maximum { maximum = value }
                    sum += value
                } else if value.isNaN {
                    nanCount += 1
                } else {
                    infinityCount += 1
                }
            }
        }
        let mean = count == 0 ? .nan : sum / Double(count)
        // Squares of values far from 1 would overflow or vanish; a power of two scales without rounding.
        let magnitude = max(abs(minimum), abs(maximum))
        let isOrdinary = count == 0 || magnitude == 0 || (1e-100...1e100).contains(magnitude)
        let scale = isOrdinary ? 1 : Double(sign: .plus, exponent: min(1000, -magnitude.exponent), significand: 1)
        var (squares, deviations) = (0.0, 0.0)
        forEachBlock(of: bytes, dtype) { block in
            for value in block where value.isFinite {
                let scaled = value * scale
                let deviation = scaled - mean * scale
                squares += scaled * scaled
                deviations += deviation * deviation
            }
        }
        self.minimum = count == 0 ? .nan : minimum
        self.maximum = count == 0 ? .nan : maximum
        self.mean = mean
        standardDeviation = count == 0 ? .nan : (deviations / Double(count)).squareRoot() / scale
        norm = squares.squareRoot() / scale
        self.zeroCount = zeroCount
        self.nanCount = nanCount
        self.infinityCount = infinityCount
    }
}
