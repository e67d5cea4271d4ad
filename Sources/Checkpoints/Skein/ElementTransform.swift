/// A reversible change of the unsigned words of elements, so that what they share falls into few byte planes.
///
/// All arithmetic wraps around, so every bit pattern comes back as it was, NaN payloads included.
protocol ElementTransform {
    static var needsBase: Bool { get }

    /// Turns an element into the word that is stored, and `inverse` turns it back.
    ///
    /// - Parameter base: the base's element, where the transform needs one.
    static func forward<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word
    static func inverse<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word
}

/// Leaves elements as they are.
enum Unchanged: ElementTransform {
    static var needsBase: Bool { false }

    @inline(__always)
    static func forward<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word { word }

    @inline(__always)
    static func inverse<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word { word }
}

/// Rotates the bits left by one.
enum Rotation: ElementTransform {
    static var needsBase: Bool { false }

    @inline(__always)
    static func forward<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word {
        word &<< 1 | word &>> Word(truncatingIfNeeded: Word.bitWidth - 1)
    }

    @inline(__always)
    static func inverse<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word {
        word &>> 1 | word &<< Word(truncatingIfNeeded: Word.bitWidth - 1)
    }
}

/// The difference of floating-point elements as integers of the same order, with its sign in the lowest bit.
///
/// A small step of a weight is a small difference even across an exponent, where exclusive or would spread it over many
/// bits.
enum ZigzagDifference: ElementTransform {
    static var needsBase: Bool { true }

    @inline(__always)
    static func forward<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word {
        let difference = sortable(word) &- sortable(base)
        return difference &<< 1 ^ spread(difference)
    }

    @inline(__always)
    static func inverse<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word {
        let difference = word &>> 1 ^ (0 &- (word & 1))
        let sum = difference &+ sortable(base)
        return sum ^ (~spread(sum) | 1 &<< Word(truncatingIfNeeded: Word.bitWidth - 1))
    }

    /// Maps floating-point bits to unsigned numbers of the same order.
    @inline(__always)
    private static func sortable<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word) -> Word {
        word ^ (spread(word) | 1 &<< Word(truncatingIfNeeded: Word.bitWidth - 1))
    }

    /// All ones if the highest bit is set, else zero.
    @inline(__always)
    private static func spread<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word) -> Word {
        0 &- (word &>> Word(truncatingIfNeeded: Word.bitWidth - 1))
    }
}

/// Exclusive or with the base, for elements whose order means nothing.
enum ExclusiveOr: ElementTransform {
    static var needsBase: Bool { true }

    @inline(__always)
    static func forward<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word { word ^ base }

    @inline(__always)
    static func inverse<Word: FixedWidthInteger & UnsignedInteger>(_ word: Word, _ base: Word) -> Word { word ^ base }
}
