import TensorCore

/// Whether `cast` knows the pair: any of F16, BF16, F32 and F64 to any of them, and the eight-bit floats as sources.
public func canCast(from source: DType, to destination: DType) -> Bool {
    destination.isComputable && (source.isComputable || source.hasValueTable)
}

/// Converts elements between floating-point types.
///
/// Rounds to nearest, ties to even, exactly once: F64 goes to the 16-bit types without stopping at F32. A NaN stays a NaN
/// and keeps the upper bits of its payload; a signalling one may come out quiet when F64 is involved. The same type on both
/// sides copies bit for bit. Neither buffer needs any alignment.
///
/// - Parameters:
///   - source: packed little-endian elements.
///   - destination: room for the same number of elements.
/// - Returns: how many finite values became infinite.
/// - Precondition: `canCast(from:to:)` or equal types, sizes that match, buffers that do not overlap.
@discardableResult
public func cast(
    _ source: UnsafeRawBufferPointer, from sourceType: DType, to destination: UnsafeMutableRawBufferPointer,
    as destinationType: DType
) -> Int {
    if sourceType == destinationType {
        precondition(source.count == destination.count, "sizes differ")
        destination.copyMemory(from: source)
        return 0
    }
    precondition(canCast(from: sourceType, to: destinationType), "no conversion between these types")
    let sourceWidth = sourceType.bitWidth / 8
    let destinationWidth = destinationType.bitWidth / 8
    let count = source.count / sourceWidth
    precondition(destination.count == count * destinationWidth, "sizes differ")
    guard let input = source.baseAddress, let output = destination.baseAddress, count > 0 else { return 0 }
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: min(count, castBlockCount)) { floats in
        let floats = floats.baseAddress!
        var overflowCount = 0
        var done = 0
        while done < count {
            let blockCount = min(castBlockCount, count - done)
            let from = input + done * sourceWidth
            let to = output + done * destinationWidth
            if sourceType == .f64 {
                if destinationType == .f32 {
                    overflowCount += roundF64ToF32(from, count: blockCount, to: to)
                } else {
                    roundF64ToOdd(from, count: blockCount, to: floats)
                    overflowCount += narrowBlock(floats, count: blockCount, to: to, as: destinationType)
                }
            } else {
                widenBlock(from, sourceType, count: blockCount, to: floats)
                overflowCount += narrowBlock(floats, count: blockCount, to: to, as: destinationType)
            }
            done += blockCount
        }
        return overflowCount
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

/// Rounds single-precision numbers to a type of 16 bits or more.
///
/// - Returns: how many finite values became infinite.
/// - Precondition: `dtype` computes; `destination` has room for exactly the elements of `source`.
@discardableResult
public func narrow(
    _ source: UnsafeBufferPointer<Float>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
) -> Int {
    precondition(dtype.isComputable, "no conversion from F32")
    precondition(destination.count == source.count * (dtype.bitWidth / 8), "sizes differ")
    guard let input = source.baseAddress, let output = destination.baseAddress else { return 0 }
    return narrowBlock(input, count: source.count, to: output, as: dtype)
}

/// Rounds double-precision numbers, once, to a type of 16 bits or more.
///
/// - Returns: how many finite values became infinite.
/// - Precondition: as for the single-precision form.
@discardableResult
public func narrow(
    _ source: UnsafeBufferPointer<Double>, into destination: UnsafeMutableRawBufferPointer, as dtype: DType
) -> Int {
    cast(UnsafeRawBufferPointer(source), from: .f64, to: destination, as: dtype)
}

/// Elements converted at a time: 16 KiB of F32 stay in the first-level cache between the two steps of a conversion.
private let castBlockCount = 4096

// Safety of the block functions: the public functions above check that both sides hold `count` elements.

private func widenBlock(
    _ source: UnsafeRawPointer, _ dtype: DType, count: Int, to destination: UnsafeMutablePointer<Float>
) {
    switch dtype {
    case .f32: UnsafeMutableRawPointer(destination).copyMemory(from: source, byteCount: count * 4)
    case .bf16: widenBF16(source, count: count, to: destination)
    case .f16: widenF16(source, count: count, to: destination)
    case .f64: roundF64ToF32(source, count: count, to: destination)
    default: lookUpF8(source, dtype, count: count, to: destination)
    }
}

private func narrowBlock(
    _ source: UnsafePointer<Float>, count: Int, to destination: UnsafeMutableRawPointer, as dtype: DType
) -> Int {
    switch dtype {
    case .bf16: return roundToBF16(source, count: count, to: destination)
    case .f16: return roundToF16(source, count: count, to: destination)
    case .f64:
        for i in 0..<count {
            destination.storeBytes(of: Double(source[i]), toByteOffset: 8 &* i, as: Double.self)
        }
        return 0
    default:
        destination.copyMemory(from: source, byteCount: count * 4)
        return 0
    }
}
