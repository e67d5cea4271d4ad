import Kernels
import TensorCore

/// Whether the elements of a type can be taken as real numbers.
func hasRealElements(_ dtype: DType) -> Bool {
    switch dtype {
    case .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64: true
    default: canCast(from: dtype, to: .f64)
    }
}

/// Calls `body` with the elements of a tensor as doubles, in order, a block that fits in the first-level cache at a time.
///
/// Exact for every type but 64-bit integers beyond 2^53, which are rounded.
///
/// - Precondition: `hasRealElements(dtype)`; `bytes` holds whole elements, at any alignment.
func forEachBlock(
    of bytes: UnsafeRawBufferPointer, _ dtype: DType, _ body: (UnsafeBufferPointer<Double>) -> Void
) {
    let width = dtype.bitWidth / 8
    let count = bytes.count / width
    let blockCount = 2048
    withUnsafeTemporaryAllocation(of: Double.self, capacity: blockCount) { buffer in
        for start in stride(from: 0, to: count, by: blockCount) {
            let end = min(start + blockCount, count)
            let part = UnsafeRawBufferPointer(rebasing: bytes[start * width..<end * width])
            let block = UnsafeMutableBufferPointer(rebasing: buffer[..<(end - start)])
            switch dtype {
            case .bool, .u8: load(UInt8.self, part, into: block)
            case .i8: load(Int8.self, part, into: block)
            case .u16: load(UInt16.self, part, into: block)
            case .i16: load(Int16.self, part, into: block)
            case .u32: load(UInt32.self, part, into: block)
            case .i32: load(Int32.self, part, into: block)
            case .u64: load(UInt64.self, part, into: block)
            case .i64: load(Int64.self, part, into: block)
            default: widen(part, dtype, into: block)
            }
            body(UnsafeBufferPointer(block))
        }
    }
}

private func load<Element: FixedWidthInteger & BitwiseCopyable>(
    _ type: Element.Type, _ bytes: UnsafeRawBufferPointer, into block: UnsafeMutableBufferPointer<Double>
) {
    for index in block.indices {
        let element = bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Element>.stride, as: type)
        block[index] = Double(Element(littleEndian: element))
    }
}
