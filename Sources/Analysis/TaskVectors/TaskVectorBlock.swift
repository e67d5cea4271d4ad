import Kernels

/// A run of elements of the base and of all task vectors, in F32, and what counting needs to know of them as bits.
///
/// Rows are filled up with zeros to whole groups of eight. Everything fits in a second-level cache for a dozen experts.
struct TaskVectorBlock {
    /// Elements of a row.
    static let capacity = 2048
    private static let wordCount = capacity / 64

    let base: UnsafeMutablePointer<Float>
    /// Of every expert. Safety: each is valid for `capacity` elements while the memory is.
    let rows: [UnsafeMutablePointer<Float>]
    let planes: [BitPlanes]
    private let inner: UnsafeMutablePointer<Double>
    private let addresses: UnsafeMutableBufferPointer<UnsafePointer<Float>?>
    private let count: UnsafeMutablePointer<Int>

    static func byteCount(expertCount: Int) -> Int {
        4 * capacity * (expertCount + 1) + 8 * BitPlanes.count * wordCount * expertCount + 8 * expertCount * expertCount
            + 8 * expertCount + 8
    }

    /// Lays the rows of a block out.
    ///
    /// - Parameter memory: `byteCount` bytes, aligned to 8.
    init(_ memory: UnsafeMutableRawBufferPointer, expertCount: Int) {
        var place = memory.baseAddress!
        func take<T>(_ count: Int, of type: T.Type) -> UnsafeMutablePointer<T> {
            defer { place += count * MemoryLayout<T>.stride }
            return place.bindMemory(to: type, capacity: count)
        }
        base = take(Self.capacity, of: Float.self)
        rows = (0..<expertCount).map { _ in take(Self.capacity, of: Float.self) }
        planes = (0..<expertCount).map { _ in
            BitPlanes(words: take(BitPlanes.count * Self.wordCount, of: UInt64.self), stride: Self.wordCount)
        }
        inner = take(expertCount * expertCount, of: Double.self)
        addresses = UnsafeMutableBufferPointer(
            start: take(expertCount, of: UnsafePointer<Float>?.self), count: expertCount)
        for (expert, row) in rows.enumerated() { addresses.initializeElement(at: expert, to: UnsafePointer(row)) }
        count = take(1, of: Int.self)
        count.initialize(to: 0)
    }

    /// Reads a run of at most `capacity` elements.
    func read(_ tensor: LoadedTaskVector, _ range: Range<Int>) {
        let whole = (range.count + 7) & ~7
        count.pointee = whole
        tensor.readBase(range, into: base)
        for (expert, row) in rows.enumerated() {
            tensor.readTaskVector(of: expert, range, base: base, into: row)
            for i in range.count..<whole { row[i] = 0 }
        }
    }

    /// The inner products of task vectors, [a * experts + b] for a ≤ b.
    func products() -> UnsafePointer<Double> {
        gram(of: UnsafeBufferPointer(addresses), count: count.pointee, into: inner)
        return UnsafePointer(inner)
    }

    func baseSquare(count: Int) -> Double { sumOfSquares(base, count: count) }

    /// The sum over places of the magnitude of the sum of task vectors, and the sum of magnitudes.
    func cancellation() -> (ofSums: Double, ofAll: Double) {
        Kernels.cancellation(of: UnsafeBufferPointer(addresses), count: count.pointee)
    }
}
