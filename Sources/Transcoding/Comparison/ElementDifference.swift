import Glibc
import Kernels
import TensorCore

/// The difference between two runs of elements; runs combine in order.
struct ElementDifference {
    var differingCount = 0
    /// The largest absolute difference; NaN once there is one.
    var maximum = 0.0
    var sumOfSquares = 0.0
    /// NaN and infinities on either side, where elements are compared as numbers.
    var nonFiniteA = NonFiniteCount()
    var nonFiniteB = NonFiniteCount()

    /// What a comparison as numbers needs besides its inputs.
    static let scratchByteCount = 2 * blockCount * MemoryLayout<Double>.stride
    private static let blockCount = 4096

    init() {}

    /// Whether elements of a type are compared as numbers.
    static func areNumbers(_ dtype: DType) -> Bool { canCast(from: dtype, to: .f64) }

    /// Compares two runs of the same number of elements, as numbers where both types are and bit for bit otherwise.
    ///
    /// - Precondition: equal types, or two of numbers; `scratch` has `scratchByteCount` bytes.
    init(
        _ a: UnsafeRawBufferPointer, _ typeA: DType, _ b: UnsafeRawBufferPointer, _ typeB: DType, tolerance: Double,
        scratch: UnsafeMutableRawBufferPointer
    ) {
        if Self.areNumbers(typeA), Self.areNumbers(typeB) {
            compareNumbers(a, typeA, b, typeB, tolerance: tolerance, scratch: scratch)
        } else if !Self.areEqual(a, b) {
            differingCount = Self.differingBits(a, b, width: typeA.bitWidth)
        }
    }

    mutating func combine(_ next: ElementDifference) {
        differingCount += next.differingCount
        maximum = Self.larger(maximum, next.maximum)
        sumOfSquares += next.sumOfSquares
        nonFiniteA += next.nonFiniteA
        nonFiniteB += next.nonFiniteB
    }

    /// The larger of two, where NaN is larger than everything.
    private static func larger(_ a: Double, _ b: Double) -> Double { a.isNaN || a > b ? a : b }

    private static func areEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        a.count == b.count && (a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
    }

    private mutating func compareNumbers(
        _ a: UnsafeRawBufferPointer, _ typeA: DType, _ b: UnsafeRawBufferPointer, _ typeB: DType, tolerance: Double,
        scratch: UnsafeMutableRawBufferPointer
    ) {
        let widthA = typeA.bitWidth / 8
        let widthB = typeB.bitWidth / 8
        let count = a.count / widthA
        let doubles = scratch.bindMemory(to: Double.self)
        for start in stride(from: 0, to: count, by: Self.blockCount) {
            let end = min(start + Self.blockCount, count)
            let partA = UnsafeRawBufferPointer(rebasing: a[start * widthA..<end * widthA])
            let partB = UnsafeRawBufferPointer(rebasing: b[start * widthB..<end * widthB])
            // While the block is in the cache, and before it is taken for equal.
            let foundA = countNonFinite(partA, typeA)
            nonFiniteA += foundA
            // Equal bits are equal in every sense, and most of two related checkpoints is.
            if typeA == typeB, Self.areEqual(partA, partB) {
                nonFiniteB += foundA
                continue
            }
            nonFiniteB += countNonFinite(partB, typeB)
            let valuesA = UnsafeMutableBufferPointer(rebasing: doubles[0..<end - start])
            let valuesB = UnsafeMutableBufferPointer(rebasing: doubles[Self.blockCount..<Self.blockCount + end - start])
            widen(partA, typeA, into: valuesA)
            widen(partB, typeB, into: valuesB)
            for index in 0..<end - start {
                let (x, y) = (valuesA[index], valuesB[index])
                // Covers equal infinities, whose difference is NaN.
                if x == y { continue }
                if x.isNaN, y.isNaN, typeA == typeB,
                    memcmp(partA.baseAddress! + index * widthA, partB.baseAddress! + index * widthA, widthA) == 0
                {
                    continue
                }
                let distance = abs(x - y)
                if !(distance <= tolerance) { differingCount += 1 }
                maximum = Self.larger(maximum, distance)
                sumOfSquares += distance * distance
            }
        }
    }

    /// How many elements of a width in bits are not the same in both.
    static func differingBits(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, width: Int) -> Int {
        var count = 0
        switch width {
        case 4:
            for index in a.indices {
                let difference = a[index] ^ b[index]
                count += (difference & 0x0F == 0 ? 0 : 1) + (difference & 0xF0 == 0 ? 0 : 1)
            }
        case 6:
            // Four elements in three bytes, lowest bits first.
            for index in stride(from: 0, to: a.count - 2, by: 3) {
                var difference = UInt32(a[index] ^ b[index])
                difference |= UInt32(a[index + 1] ^ b[index + 1]) << 8
                difference |= UInt32(a[index + 2] ^ b[index + 2]) << 16
                for element in 0..<4 where difference >> UInt32(6 * element) & 0x3F != 0 { count += 1 }
            }
        default:
            let byteCount = width / 8
            for start in stride(from: 0, to: a.count, by: byteCount) {
                var differs = false
                for index in start..<start + byteCount where a[index] != b[index] { differs = true }
                if differs { count += 1 }
            }
        }
        return count
    }
}
