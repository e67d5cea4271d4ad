import TensorCore

extension NpyHeader {
    /// Whether the bytes in the file are already little-endian and row-major.
    var isNative: Bool { elements.areNative }

    private var width: Int { element.dtype.bitWidth / 8 }

    /// How the elements lie in the file.
    private var elements: StridedElements {
        let order = isFortranOrder ? StridedOrder(dims: shape.dims, strides: ColumnMajorOrder.strides(shape.dims)) : nil
        return StridedElements(order: order, dtype: element.dtype, isBigEndian: element.isBigEndian)
    }

    /// Turns data as it is in the file into little-endian row-major bytes.
    ///
    /// - Cost: one pass for each of ordering and swapping; one buffer.
    /// - Throws: `IOError` when there is no memory.
    func decode(_ data: UnsafeRawBufferPointer) throws(IOError) -> AlignedBuffer {
        let result = try AlignedBuffer(byteCount: data.count)
        read(0..<data.count, of: data, into: result.mutableBytes)
        return result
    }

    /// Reads a range of the little-endian row-major bytes out of data as it is in the file.
    ///
    /// - Precondition: `data` is all of it, `target` has the size of the range.
    func read(_ range: Range<Int>, of data: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) {
        elements.read(range, of: data, into: target)
    }

    /// Takes data as it is in the file in consecutive pieces, and puts it where it belongs.
    struct Assembly {
        private let header: NpyHeader
        private let order: ColumnMajorOrder?
        private let target: UnsafeMutableRawBufferPointer
        /// The bytes of the target, or in column-major order the elements, that have come.
        private var position = 0
        /// The beginning of an element that the last piece cut.
        private var cut: [UInt8] = []

        /// Begins to put the pieces of an array into a buffer.
        ///
        /// - Precondition: `target` has the size of the data and outlives the assembly.
        init(_ header: NpyHeader, into target: UnsafeMutableRawBufferPointer) {
            self.header = header
            order = header.isFortranOrder ? ColumnMajorOrder(dims: header.shape.dims, width: header.width) : nil
            self.target = target
        }

        mutating func append(_ piece: UnsafeRawBufferPointer) {
            guard !piece.isEmpty else { return }
            guard order != nil else {
                UnsafeMutableRawBufferPointer(rebasing: target[position...]).copyMemory(from: piece)
                position += piece.count
                return
            }
            let width = header.width
            var rest = piece
            if !cut.isEmpty {
                let missing = min(width - cut.count, rest.count)
                cut += rest.prefix(missing)
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(missing))
                guard cut.count == width else { return }
                let whole = cut
                whole.withUnsafeBytes { scatter($0) }
            }
            let wholeByteCount = rest.count / width * width
            scatter(UnsafeRawBufferPointer(rebasing: rest.prefix(wholeByteCount)))
            cut = Array(rest.dropFirst(wholeByteCount))
        }

        private mutating func scatter(_ elements: UnsafeRawBufferPointer) {
            guard let order, let from = elements.baseAddress, let to = target.baseAddress else { return }
            let end = position + elements.count / header.width
            order.scatter(position..<end, from: from, to: to)
            position = end
        }

        /// Brings the bytes of all elements into little-endian order.
        ///
        /// - Precondition: all of the data has come.
        func finish() {
            header.elements.swapInPlace(target)
        }
    }
}
