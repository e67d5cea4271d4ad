import CKernels
import Glibc

/// Random numbers by position: the same seed, stream and counter give the same number in any order of work.
///
/// SplitMix64 evaluated at a point of its sequence.
///
/// - Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
public struct CounterGenerator: Sendable, Hashable {
    @usableFromInline let origin: UInt64

    /// Begins a stream of random numbers.
    ///
    /// - Parameters:
    ///   - seed: what the user chose.
    ///   - stream: what the numbers are for; streams of one seed are independent.
    public init(seed: UInt64, stream: UInt64) {
        origin = Self.mix(Self.mix(seed &+ Self.increment) ^ stream &* 0xD1B5_4A32_D192_ED03)
    }

    /// 64 uniform bits.
    @inlinable
    public func bits(_ counter: UInt64) -> UInt64 { Self.mix(origin &+ (counter &+ 1) &* Self.increment) }

    /// A uniform number in (0, 1), never an end.
    @inlinable
    public func uniform(_ counter: UInt64) -> Double { (Double(bits(counter) >> 11) + 0.5) * 0x1p-53 }

    /// The 53 bits k that `uniform` makes (k + 1/2) / 2^53 of, to be compared with a `limit`, for counters at equal steps.
    ///
    /// - Parameter numbers: room for `count`.
    public func numbers(from first: UInt64, step: UInt64, count: Int, into numbers: UnsafeMutablePointer<UInt64>) {
        untangle_random_numbers(origin, first, step, count, numbers)
    }

    /// The least number that is not below a probability.
    public static func limit(of probability: Double) -> UInt64 {
        UInt64(max(0, (min(probability, 1) * 0x1p53 - 0.5).rounded(.up)))
    }

    /// 1 when a number is below a limit, else 0: the sign of their difference, as a branch could not be predicted.
    @inlinable
    public static func isBelow(_ number: UInt64, _ limit: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: (number &- limit) >> 63)
    }

    /// A uniform whole number below `bound`, by the high half of a 128-bit product (bias below `bound` / 2^64).
    public func below(_ bound: Int, _ counter: UInt64) -> Int {
        Int(bits(counter).multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// Two independent standard normal numbers (Box, Muller 1958).
    public func normalPair(_ counter: UInt64) -> (Double, Double) {
        let radius = (-2 * log(uniform(2 &* counter))).squareRoot()
        let angle = 2 * Double.pi * uniform(2 &* counter &+ 1)
        return (radius * cos(angle), radius * sin(angle))
    }

    @usableFromInline static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

    @inlinable
    static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
