import TensorCore

/// What the numbers of a tensor, or of a part of one, add up to: their squares, and how many of them are no numbers.
package struct NormSums: Sendable {
    package private(set) var squares = 0.0
    package private(set) var nonFinite = NonFiniteCount()

    /// Elements that are worked on at a time.
    private static let blockCount = 4096

    package init() {}

    /// The L2 norm.
    package var norm: Double { squares.squareRoot() }

    package static func += (a: inout NormSums, b: NormSums) {
        a.squares += b.squares
        a.nonFinite += b.nonFinite
    }

    /// Adds stored numbers, at any alignment. A sum that is finite proves that all numbers are, so they are looked at once.
    ///
    /// - Returns: whether all of them are finite.
    /// - Precondition: the type computes, and the bytes are whole elements of it.
    @discardableResult
    package mutating func add(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> Bool {
        let before = nonFinite
        let width = dtype.bitWidth / 8
        for start in stride(from: 0, to: bytes.count, by: Self.blockCount * width) {
            let end = min(start + Self.blockCount * width, bytes.count)
            let block = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            if dtype == .bf16, let squares = sumOfSquares(bfloats: block) {
                self.squares += squares
            } else if dtype == .f64 {
                addBlock(block, dtype) { sumOfSquares($0, minus: 0, scale: 1, count: $1) }
            } else {
                addBlock(block, dtype) { (values: UnsafePointer<Float>, count) in sumOfSquares(values, count: count) }
            }
        }
        return nonFinite == before
    }

    /// Reads stored numbers, as `ElementwiseScalar.read` does, and adds them.
    ///
    /// - Precondition: the type computes, and the sizes fit.
    package mutating func read<T: ElementwiseScalar>(
        _ bytes: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<T>
    ) {
        if dtype == .bf16, T.self == Float.self, let values = UnsafeMutableRawPointer(destination.baseAddress) {
            // Safety: the numbers are of this type.
            if let squares = widen(bfloats: bytes, into: values.assumingMemoryBound(to: Float.self)) {
                self.squares += squares
                return
            }
        } else {
            T.read(bytes, dtype, into: destination)
        }
        add(bytes, dtype)
    }

    private mutating func addBlock<T: ElementwiseScalar>(
        _ block: UnsafeRawBufferPointer, _ dtype: DType, _ sum: (UnsafePointer<T>, Int) -> Double
    ) {
        withUnsafeTemporaryAllocation(of: T.self, capacity: block.count / (dtype.bitWidth / 8)) { values in
            T.read(block, dtype, into: values)
            // Safety: a block has an element, so its numbers have an address.
            let squares = sum(UnsafePointer(values.baseAddress!), values.count)
            self.squares += squares
            guard !squares.isFinite else { return }
            let (nan, infinite) = countNonFinite(UnsafePointer(values.baseAddress!), count: values.count)
            nonFinite += NonFiniteCount(nan: nan, infinite: infinite)
        }
    }
}
