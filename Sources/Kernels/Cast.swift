import CKernels
import TensorCore

extension DType {
    /// Whether numbers are rounded to the type: the types that compute, F8_E4M3 and F8_E5M2.
    public var isCastTarget: Bool { isComputable || self == .f8E4M3 || self == .f8E5M2 }
}

/// Whether `cast` knows the pair: any of F16, BF16, F32, F64, F8_E4M3 and F8_E5M2 to any of them, and the other eight-bit floats as
/// sources.
public func canCast(from source: DType, to destination: DType) -> Bool {
    destination.isCastTarget && (source.isCastTarget || source.hasValueTable)
}

/// Converts elements between floating-point types.
///
/// Rounds to nearest, ties to even, exactly once: F64 goes to the narrow types without stopping at F32. A NaN stays a NaN
/// and keeps the upper bits of its payload; a signalling one may come out quiet when F64 is involved. The same type on both
/// sides copies bit for bit. Neither buffer needs any alignment.
///
/// - Parameters:
///   - source: packed little-endian elements.
///   - destination: room for the same number of elements.
/// - Returns: how many numbers were beyond the range of the type, and how many became zero.
/// - Precondition: `canCast(from:to:)` or equal types, sizes that match, buffers that do not overlap.
@discardableResult
public func cast(
    _ source: UnsafeRawBufferPointer, from sourceType: DType, to destination: UnsafeMutableRawBufferPointer,
    as destinationType: DType
) -> CastLosses {
    if sourceType == destinationType {
        precondition(source.count == destination.count, "sizes differ")
        destination.copyMemory(from: source)
        return CastLosses()
    }
    precondition(canCast(from: sourceType, to: destinationType), "no conversion between these types")
    let sourceWidth = sourceType.bitWidth / 8
    let destinationWidth = destinationType.bitWidth / 8
    let count = source.count / sourceWidth
    precondition(destination.count == count * destinationWidth, "sizes differ")
    guard let input = source.baseAddress, let output = destination.baseAddress, count > 0 else { return CastLosses() }
    switch (sourceType, destinationType) {
    case (.f32, _): return narrowBlock(input, count: count, to: output, as: destinationType)
    case (.f64, .f32): return roundF64ToF32(input, count: count, to: output)
    case (_, .f32):
        widenBlock(input, sourceType, count: count, to: output)
        return CastLosses()
    default: break
    }
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: min(count, castBlockCount)) { floats in
        let floats = floats.baseAddress!
        var losses = CastLosses()
        var done = 0
        while done < count {
            let blockCount = min(castBlockCount, count - done)
            let from = input + done * sourceWidth
            if sourceType == .f64 {
                roundF64ToOdd(from, count: blockCount, to: floats)
            } else {
                widenBlock(from, sourceType, count: blockCount, to: floats)
            }
            losses += narrowBlock(
                floats, count: blockCount, to: output + done * destinationWidth, as: destinationType)
            done += blockCount
        }
        return losses
    }
}

/// Converts elements to single precision: exact for every type up to 32 bits, rounded to nearest even from F64.
///
/// - Precondition: `dtype` is a floating-point type of 8 bits or more; `source` holds as many elements as `destination`.
public func widen(
    _ source: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<Float>
) {
    precondition(canCast(from: dtype, to: .f32), "no conversion to F32")
    precondition(source.count == destination.count * (dtype.bitWidth / 8), "sizes differ")
    guard let input = source.baseAddress, let output = destination.baseAddress else { return }
    widenBlock(input, dtype, count: destination.count, to: output)
}

/// Converts elements to double precision, exact for every type.
///
/// - Precondition: as for the single-precision form.
public func widen(
    _ source: UnsafeRawBufferPointer, _ dtype: DType, into destination: UnsafeMutableBufferPointer<Double>
) {
    cast(source, from: dtype, to: UnsafeMutableRawBufferPointer(destination), as: .f64)
}

/// Rounds single-precision numbers to a floating-point type.
///
/// - Returns: how many numbers were beyond the range of the type, and how many became zero.
/// - Precondition: numbers are rounded to `dtype`; `destination` has room for exactly the elements of `source`.
@discardableResult
public func narrow(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
) -> CastLosses {
    cast(UnsafeRawBufferPointer(source), from: .f32, to: destination, as: dtype)
}

/// Rounds double-precision numbers, once, to a floating-point type.
///
/// - Returns: how many numbers were beyond the range of the type, and how many became zero.
/// - Precondition: as for the single-precision form.
@discardableResult
public func narrow(
    _ source: UnsafeBufferPointer<Double>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
) -> CastLosses {
    cast(UnsafeRawBufferPointer(source), from: .f64, to: destination, as: dtype)
}

/// Elements converted at a time by way of F32: 16 KiB stay in the first-level cache between the two steps of a conversion.
private let castBlockCount = 4096

// Safety of the block functions: the public functions above check that both sides hold `count` elements.

/// Converts to F32.
private func widenBlock(
    _ source: UnsafeRawPointer, _ dtype: DType, count: Int, to destination: UnsafeMutableRawPointer
) {
    switch dtype {
    case .f32: untangle_copy_f32(source, count, destination)
    case .bf16: untangle_widen_bf16(source, count, destination)
    case .f16: untangle_widen_f16(source, count, destination)
    case .f8E4M3: untangle_widen_f8_e4m3(source, count, destination)
    case .f8E5M2: untangle_widen_f8_e5m2(source, count, destination)
    case .f64: _ = roundF64ToF32(source, count: count, to: destination)
    default: lookUpF8(source, dtype, count: count, to: destination)
    }
}

/// Converts from F32.
private func narrowBlock(
    _ source: UnsafeRawPointer, count: Int, to destination: UnsafeMutableRawPointer, as dtype: DType
) -> CastLosses {
    switch dtype {
    case .bf16: return CastLosses(untangle_round_bf16(source, count, destination))
    case .f16: return CastLosses(untangle_round_f16(source, count, destination))
    case .f8E4M3: return CastLosses(untangle_round_f8_e4m3(source, count, destination))
    case .f8E5M2: return CastLosses(untangle_round_f8_e5m2(source, count, destination))
    case .f64:
        for i in 0..<count {
            let value = source.loadUnaligned(fromByteOffset: 4 &* i, as: Float.self)
            destination.storeBytes(of: Double(value), toByteOffset: 8 &* i, as: Double.self)
        }
        return CastLosses()
    default:
        destination.copyMemory(from: source, byteCount: count * 4)
        return CastLosses()
    }
}
