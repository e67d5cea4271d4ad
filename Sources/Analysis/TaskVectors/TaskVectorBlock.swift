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
    private let sumsMemory: UnsafeMutablePointer<Double>
    private let rowAddresses: UnsafeMutableBufferPointer<UnsafePointer<Float>?>
    private let planeAddresses: UnsafeMutableBufferPointer<UnsafeMutablePointer<UInt64>?>
    private let undecided: UnsafeMutablePointer<UInt64>
    private let count: UnsafeMutablePointer<Int>

    static func byteCount(expertCount: Int) -> Int {
        4 * capacity * (expertCount + 1)
            + 8
            * (wordCount * (BitPlanes.count * expertCount + 1) + RowSums.space(rowCount: expertCount) + 2 * expertCount
                + 1)
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
        undecided = take(Self.wordCount, of: UInt64.self)
        sumsMemory = take(RowSums.space(rowCount: expertCount), of: Double.self)
        rowAddresses = UnsafeMutableBufferPointer(
            start: take(expertCount, of: UnsafePointer<Float>?.self), count: expertCount)
        _ = rowAddresses.initialize(from: rows.map { UnsafePointer($0) })
        planeAddresses = UnsafeMutableBufferPointer(
            start: take(expertCount, of: UnsafeMutablePointer<UInt64>?.self), count: expertCount)
        _ = planeAddresses.initialize(from: planes.map(\.words))
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

    /// Inner products of task vectors, and how they cancel out; valid until the next run is read.
    func sums() -> RowSums { RowSums(of: UnsafeBufferPointer(rowAddresses), count: count.pointee, in: sumsMemory) }

    func baseSquare(count: Int) -> Double { sumOfSquares(base, count: count) }

    /// Decides what the planes tell by themselves.
    ///
    /// - Returns: the places at which experts moved in opposite directions; and the magnitude keys of all experts, place by place, where
    ///   that of any lies inside of its bracket, which tops and pivots are without from here on.
    func decide(wordCount: Int) -> (conflicting: Int, keys: [UInt32]) {
        let conflicting = BitPlanes.join(
            UnsafeBufferPointer(planeAddresses), stride: Self.wordCount, wordCount: wordCount, undecided: undecided)
        return (conflicting, BitPlanes.keys(of: UnsafeBufferPointer(rowAddresses), at: undecided, wordCount: wordCount))
    }
}
