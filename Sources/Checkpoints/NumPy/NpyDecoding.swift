import TensorCore

extension NpyHeader {
    /// Whether the bytes in the file are already little-endian and row-major.
    var isNative: Bool { !element.isBigEndian && !needsTransposing }

    /// With fewer than two dimensions longer than one, both orders are the same.
    private var needsTransposing: Bool { isFortranOrder && shape.dims.lazy.filter { $0 != 1 }.count > 1 }

    /// Turns data as it is in the file into little-endian row-major bytes.
    ///
    /// - Cost: one pass for each of transposing and swapping; one buffer.
    /// - Throws: `IOError` when there is no memory.
    func decode(_ data: UnsafeRawBufferPointer) throws(IOError) -> AlignedBuffer {
        let result = try AlignedBuffer(byteCount: data.count)
        if needsTransposing {
            transposeFortran(data, into: result.mutableBytes, dims: shape.dims, width: element.dtype.bitWidth / 8)
        } else {
            result.mutableBytes.copyMemory(from: data)
        }
        if element.isBigEndian { swapBytes(of: result.mutableBytes, width: element.dtype.scalarByteCount) }
        return result
    }

    /// As `decode(_:)`, for data that was unpacked into a buffer which may be changed.
    func decode(unpacked data: AlignedBuffer) throws(IOError) -> AlignedBuffer {
        if needsTransposing { return try decode(data.bytes) }
        if element.isBigEndian { swapBytes(of: data.mutableBytes, width: element.dtype.scalarByteCount) }
        return data
    }
}

/// Reverses the bytes of every scalar.
private func swapBytes(of bytes: UnsafeMutableRawBufferPointer, width: Int) {
    switch width {
    case 2: swapScalars(of: bytes, as: UInt16.self)
    case 4: swapScalars(of: bytes, as: UInt32.self)
    case 8: swapScalars(of: bytes, as: UInt64.self)
    default: break
    }
}

private func swapScalars<T: FixedWidthInteger>(of bytes: UnsafeMutableRawBufferPointer, as type: T.Type) {
    // Safety: the buffer is cache-line aligned and holds whole scalars.
    guard let start = bytes.baseAddress else { return }
    let scalars = start.assumingMemoryBound(to: T.self)
    for index in 0..<bytes.count / MemoryLayout<T>.size { scalars[index] = scalars[index].byteSwapped }
}

/// Copies column-major data into row-major order.
///
/// - Shapes: `dims` slowest first, as NumPy states them for either order; element `(i0, ..., in)` stands at
///   `i0 + i1 * dims[0] + i2 * dims[0] * dims[1] + ...` of `source`.
/// - Parameter width: bytes of an element: 1, 2, 4, 8 or 16.
func transposeFortran(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, dims: [Int], width: Int
) {
    switch width {
    case 1: transpose(source, into: target, dims: dims, as: UInt8.self)
    case 2: transpose(source, into: target, dims: dims, as: UInt16.self)
    case 4: transpose(source, into: target, dims: dims, as: UInt32.self)
    case 8: transpose(source, into: target, dims: dims, as: UInt64.self)
    default: transpose(source, into: target, dims: dims, as: SIMD2<UInt64>.self)
    }
}

private func transpose<T: BitwiseCopyable>(
    _ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer, dims: [Int], as type: T.Type
) {
    let dims = dims.filter { $0 != 1 }
    guard let from = source.baseAddress, let to = target.baseAddress, !source.isEmpty, dims.count > 1 else { return }
    // Strides in elements. Sizes were checked against the data, so no product can overflow.
    var sourceStrides = [1]
    for dim in dims.dropLast() { sourceStrides.append(sourceStrides[sourceStrides.count - 1] * dim) }
    var targetStrides = [1]
    for dim in dims.dropFirst().reversed() { targetStrides.append(targetStrides[targetStrides.count - 1] * dim) }
    targetStrides.reverse()

    // The first dimension is dense in the source and the last in the target: every plane of the two is transposed in
    // tiles, so that both sides use whole cache lines.
    let last = dims.count - 1
    var middle = [Int](repeating: 0, count: dims.count)
    while true {
        var sourceBase = 0
        var targetBase = 0
        for axis in 1..<max(last, 1) {
            sourceBase += middle[axis] * sourceStrides[axis]
            targetBase += middle[axis] * targetStrides[axis]
        }
        transposePlane(
            from + sourceBase * MemoryLayout<T>.size, sourceStrides[last], to + targetBase * MemoryLayout<T>.size,
            targetStrides[0], rows: dims[0], columns: dims[last], as: type)
        // Counts the middle dimensions up, the last of them fastest: the target is then written from front to back.
        var axis = last - 1
        while axis >= 1 {
            middle[axis] += 1
            if middle[axis] < dims[axis] { break }
            middle[axis] = 0
            axis -= 1
        }
        if axis < 1 { return }
    }
}

/// `target[row * targetStride + column] = source[row + column * sourceStride]`, strides in elements.
private func transposePlane<T: BitwiseCopyable>(
    _ source: UnsafeRawPointer, _ sourceStride: Int, _ target: UnsafeMutableRawPointer, _ targetStride: Int, rows: Int,
    columns: Int, as type: T.Type
) {
    // Safety: the caller's strides and counts stay inside two buffers of the same size; loads need no alignment.
    let width = MemoryLayout<T>.size
    let tile = max(8, 64 / width)
    for firstRow in stride(from: 0, to: rows, by: tile) {
        let rowEnd = min(firstRow + tile, rows)
        for firstColumn in stride(from: 0, to: columns, by: tile) {
            let columnEnd = min(firstColumn + tile, columns)
            for row in firstRow..<rowEnd {
                for column in firstColumn..<columnEnd {
                    let value = (source + (row &+ column &* sourceStride) &* width).loadUnaligned(as: T.self)
                    (target + (row &* targetStride &+ column) &* width).storeBytes(of: value, as: T.self)
                }
            }
        }
    }
}
