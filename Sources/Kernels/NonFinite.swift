import CKernels
import TensorCore

/// Counts NaN and infinities, apart, among elements as they are stored, at any alignment.
///
/// - Cost: one pass when all is finite; eight-bit floats are widened for it.
/// - Precondition: `dtype` is a floating-point type of 8 bits or more; the bytes are whole elements of it.
public func countNonFinite(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> NonFiniteCount {
    var found = NonFiniteCount()
    guard hasNonFinite(bytes, dtype) else { return found }
    let width = dtype.bitWidth / 8
    let count = bytes.count / width
    // From F64 no finite number may become infinite on the way.
    withUnsafeTemporaryAllocation(of: Double.self, capacity: min(count, 2048)) { block in
        for start in stride(from: 0, to: count, by: block.count) {
            let length = min(block.count, count - start)
            let part = UnsafeRawBufferPointer(rebasing: bytes[start * width..<(start + length) * width])
            widen(part, dtype, into: UnsafeMutableBufferPointer(rebasing: block[..<length]))
            let (nan, infinite) = countNonFinite(UnsafePointer(block.baseAddress!), count: length)
            found += NonFiniteCount(nan: nan, infinite: infinite)
        }
    }
    return found
}

/// Whether NaN or an infinity is among elements as they are stored, at any alignment.
///
/// - Precondition: as for `countNonFinite`.
public func hasNonFinite(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> Bool {
    // Safety: the bytes hold as many elements.
    switch dtype {
    case .bf16: untangle_has_non_finite_16(bytes.baseAddress, bytes.count / 2, 0x7F80) != 0
    case .f16: untangle_has_non_finite_16(bytes.baseAddress, bytes.count / 2, 0x7C00) != 0
    case .f32: untangle_has_non_finite_32(bytes.baseAddress, bytes.count / 4) != 0
    case .f64: untangle_has_non_finite_64(bytes.baseAddress, bytes.count / 8) != 0
    default: hasNonFiniteByte(bytes, dtype)
    }
}

/// Looks every byte up among the 256 numbers of a type of eight bits.
private func hasNonFiniteByte(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> Bool {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { numbers in
        let all = (0...255).map { UInt8($0) }
        all.withUnsafeBytes { widen($0, dtype, into: numbers) }
        var found: UInt32 = 0
        for byte in bytes { found |= numbers[Int(byte)].nonFiniteBit }
        return found != 0
    }
}
