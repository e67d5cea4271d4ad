import Kernels

/// Which numbers of a stream are the largest: those above a magnitude, and those that equal it up to a flat index.
struct MagnitudeCut: Sendable, Hashable {
    /// What happens to numbers of the very magnitude of the last one that is wanted.
    enum Equals: Sendable { case all, firstInTensor }

    /// The magnitude of the last one, as `magnitudeKey`.
    var key: UInt32
    var lastEqualIndex = Int.max

    static let all = MagnitudeCut(key: 0)
    static let none = MagnitudeCut(key: 0x7FFF_FFFF, lastEqualIndex: -1)

    var isKeepingAll: Bool { self == .all }

    /// Of `count` numbers from a flat index on, how many at the front belong to the largest when they equal the key.
    @inline(__always)
    func equalCount(from start: Int, count: Int) -> Int {
        // Without a sum, as the last index may be the largest there is.
        min(max(lastEqualIndex - start, -1), count - 1) + 1
    }

    /// Multiplies the largest numbers by a factor and clears the others.
    ///
    /// - Parameter keys: what decides which are the largest, such as the values themselves.
    @inline(__always)
    func keep<T: ElementwiseScalar>(
        _ values: UnsafeMutablePointer<T>, by keys: UnsafePointer<T>, from start: Int, count: Int, times factor: T = 1
    ) {
        let equal = equalCount(from: start, count: count)
        for i in 0..<equal {
            values[i] = (factor * values[i]).masked(by: isAtLeast(keys[i].magnitudeKey, key))
        }
        for i in equal..<count {
            values[i] = (factor * values[i]).masked(by: isAtLeast(keys[i].magnitudeKey, key + 1))
        }
    }

    /// Clears the largest numbers.
    @inline(__always)
    func drop<T: ElementwiseScalar>(from values: UnsafeMutablePointer<T>, start: Int, count: Int) {
        let equal = equalCount(from: start, count: count)
        for i in 0..<equal { values[i] = values[i].masked(by: isAtLeast(values[i].magnitudeKey, key) ^ 1) }
        for i in equal..<count { values[i] = values[i].masked(by: isAtLeast(values[i].magnitudeKey, key + 1) ^ 1) }
    }
}
