import CKernels

/// How many numbers a cast could not keep as what they were, apart from rounding.
public struct CastLosses: Sendable, Hashable {
    /// Finite numbers that became infinite; in F8_E4M3, which has no infinity, finite and infinite ones that became NaN.
    public var overflowCount = 0
    /// Numbers other than zero that became zero.
    public var underflowCount = 0

    public init() {}

    public init(overflowCount: Int, underflowCount: Int) {
        self.overflowCount = overflowCount
        self.underflowCount = underflowCount
    }

    init(_ counts: untangle_cast_losses) {
        self.init(overflowCount: counts.overflow, underflowCount: counts.underflow)
    }

    public var isZero: Bool { overflowCount == 0 && underflowCount == 0 }

    public static func += (a: inout CastLosses, b: CastLosses) {
        a.overflowCount += b.overflowCount
        a.underflowCount += b.underflowCount
    }
}
