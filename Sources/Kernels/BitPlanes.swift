import CKernels

/// What counting needs to know about the numbers of a block, as bits: 64 numbers are compared at a time.
///
/// Planes follow each other: numbers above zero, numbers below zero, magnitudes from the upper end of a bracket on, those equal to
/// its pivot, and the others inside of it.
public struct BitPlanes {
    public static let count = 5

    /// Safety: valid for `count` planes of `stride` words.
    public let words: UnsafeMutablePointer<UInt64>
    /// Words from one plane to the next.
    public let stride: Int

    public init(words: UnsafeMutablePointer<UInt64>, stride: Int) {
        self.words = words
        self.stride = stride
    }

    public var up: UnsafeMutablePointer<UInt64> { words }
    public var down: UnsafeMutablePointer<UInt64> { words + stride }
    public var top: UnsafeMutablePointer<UInt64> { words + 2 * stride }
    public var pivot: UnsafeMutablePointer<UInt64> { words + 3 * stride }
    public var listed: UnsafeMutablePointer<UInt64> { words + 4 * stride }

    /// Fills the planes; bits beyond the last number are 0.
    ///
    /// - Precondition: there are at most `64 * stride` numbers.
    public func fill(_ x: UnsafePointer<Float>, count: Int, _ bracket: MagnitudeBracket) {
        untangle_planes(x, count, bracket.pivot, bracket.lower, bracket.upper, words, stride)
    }

    /// What two vectors have in common.
    public struct Common {
        /// Numbers that are zero in neither, those of them with opposite signs, and those that are larger than the brackets in both.
        public var moved = 0
        public var opposed = 0
        public var top = 0
    }

    /// Counts over the first words.
    public func common(with other: BitPlanes, wordCount: Int) -> Common {
        var counts: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &counts) {
            untangle_compare_planes(
                words, other.words, wordCount, stride, $0.baseAddress!.assumingMemoryBound(to: UInt64.self))
        }
        return Common(moved: Int(counts.0), opposed: Int(counts.1), top: Int(counts.2))
    }

    /// Leaves out of the tops and pivots of several vectors the places at which any of them lists its number.
    ///
    /// - Parameters:
    ///   - planes: `words` of each vector.
    ///   - undecided: set to these places.
    /// - Returns: at how many places one vector is above zero and another below.
    public static func join(
        _ planes: UnsafeBufferPointer<UnsafeMutablePointer<UInt64>?>, stride: Int, wordCount: Int,
        undecided: UnsafeMutablePointer<UInt64>
    ) -> Int {
        Int(untangle_join_planes(planes.baseAddress!, planes.count, wordCount, stride, undecided))
    }

    /// The magnitude keys of several vectors at places that are given as bits, place by place.
    public static func keys(
        of rows: UnsafeBufferPointer<UnsafePointer<Float>?>, at places: UnsafePointer<UInt64>, wordCount: Int
    ) -> [UInt32] {
        let placeCount = countCommon(places, places, wordCount: wordCount)
        return [UInt32](unsafeUninitializedCapacity: placeCount * rows.count) { buffer, count in
            guard let keys = buffer.baseAddress else { return }
            count = untangle_gather_keys(rows.baseAddress!, rows.count, places, wordCount, keys)
        }
    }

    /// Bits that are set in two planes.
    public static func countCommon(
        _ a: UnsafePointer<UInt64>, _ b: UnsafePointer<UInt64>, wordCount: Int
    ) -> Int {
        Int(untangle_count_common(a, b, wordCount))
    }
}
