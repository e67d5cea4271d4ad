import TensorCore

extension NpyHeader {
    /// Whether the bytes in the file are already little-endian and row-major.
    var isNative: Bool { !element.isBigEndian && columnMajorOrder == nil }

    private var width: Int { element.dtype.bitWidth / 8 }

    /// Nil for data that is row-major as it is.
    private var columnMajorOrder: ColumnMajorOrder? {
        isFortranOrder ? ColumnMajorOrder(dims: shape.dims, width: width) : nil
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
        let width = width
        let first = (range.lowerBound + width - 1) / width
        let end = range.upperBound / width
        if first < end {
            let start = first * width - range.lowerBound
            read(elements: first..<end, of: data, into: .init(rebasing: target[start..<start + (end - first) * width]))
        }
        // Elements of which the range has a part.
        let cut = [range.lowerBound / width, end].filter { !(first..<max(first, end)).contains($0) }
        for element in Set(cut) {
            let part = range.clamped(to: element * width..<(element + 1) * width)
            guard !part.isEmpty else { continue }
            withUnsafeTemporaryAllocation(byteCount: width, alignment: 16) { value in
                read(elements: element..<element + 1, of: data, into: value)
                UnsafeMutableRawBufferPointer(rebasing: target[(part.lowerBound - range.lowerBound)...])
                    .copyMemory(
                        from: UnsafeRawBufferPointer(
                            rebasing: value[part.lowerBound - element * width..<part.upperBound - element * width]))
            }
        }
    }

    private func read(
        elements: Range<Int>, of data: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
    ) {
        guard let from = data.baseAddress, let to = target.baseAddress, !elements.isEmpty else { return }
        if let order = columnMajorOrder {
            order.gather(elements, from: from, to: to)
            if element.isBigEndian { swapScalars(UnsafeRawBufferPointer(target), to: target) }
        } else {
            let part = UnsafeRawBufferPointer(rebasing: data[elements.lowerBound * width..<elements.upperBound * width])
            if element.isBigEndian { swapScalars(part, to: target) } else { target.copyMemory(from: part) }
        }
    }

    /// Copies scalars with their bytes reversed; source and target may be the same memory.
    fileprivate func swapScalars(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
        switch element.dtype.scalarByteCount {
        case 2: copySwapping(source, to: target, as: UInt16.self)
        case 4: copySwapping(source, to: target, as: UInt32.self)
        case 8: copySwapping(source, to: target, as: UInt64.self)
        case let width: preconditionFailure("no byte order has scalars of \(width) bytes")
        }
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
            order = header.columnMajorOrder
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
            if header.element.isBigEndian { header.swapScalars(UnsafeRawBufferPointer(target), to: target) }
        }
    }
}

private func copySwapping<T: FixedWidthInteger & BitwiseCopyable>(
    _ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer, as type: T.Type
) {
    // Safety: both hold `count` scalars; neither access needs alignment.
    guard let from = source.baseAddress, let to = target.baseAddress else { return }
    let width = MemoryLayout<T>.size
    for index in 0..<source.count / width {
        let scalar = from.loadUnaligned(fromByteOffset: index &* width, as: T.self)
        to.storeBytes(of: scalar.byteSwapped, toByteOffset: index &* width, as: T.self)
    }
}
