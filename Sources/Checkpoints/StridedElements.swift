import TensorCore

/// The order of an array's elements in data where they lie at strides of their own, against row-major order.
struct StridedOrder {
    /// Slowest first, without dimensions that make no difference.
    private let dims: [Int]
    /// In elements.
    private let strides: [Int]

    /// Takes the shape of an array and where its elements lie.
    ///
    /// - Precondition: all elements lie in data whose size fits an `Int`; no stride is negative.
    /// - Returns: nil when the order is row-major, without gaps.
    init?(dims: [Int], strides: [Int]) {
        if dims.contains(0) { return nil }
        var merged: [(dim: Int, stride: Int)] = []
        for (dim, stride) in zip(dims, strides) where dim != 1 {
            // Neighbours that are stepped through as one.
            if let last = merged.last, last.stride == dim * stride {
                merged[merged.count - 1] = (last.dim * dim, stride)
            } else {
                merged.append((dim, stride))
            }
        }
        if merged.isEmpty || merged.count == 1 && merged[0].stride == 1 { return nil }
        self.dims = merged.map(\.dim)
        self.strides = merged.map(\.stride)
    }

    /// Copies a run of elements, counted in row-major order, out of the data.
    ///
    /// - Precondition: `source` holds the whole array, `target` the run; an element has 1, 2, 4, 8 or 16 bytes.
    func gather(
        _ run: Range<Int>, width: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer
    ) {
        StridedBox.forEach(of: run, dims, strides: strides) { box in
            box.copy(
                from: source + box.far * width, box.farStrides, to: target + box.near * width, box.nearStrides,
                width: width)
        }
    }
}

/// The parts of every element, a real number or a complex one, that are stored with the other sign.
struct ChangedSigns: Hashable {
    var real = false
    var imaginary = false
}

/// How the elements of a tensor lie in stored data, and how to read them as little-endian row-major bytes.
struct StridedElements {
    /// Nil for row-major data without gaps.
    let order: StridedOrder?
    let width: Int
    /// The bytes of a number whose bytes are to be swapped; nil for little-endian data.
    private let swappedByteCount: Int?
    let changedSigns: ChangedSigns
    private let numberByteCount: Int

    /// Puts together what is known of the stored data.
    ///
    /// - Precondition: the sign of a number of the type is its highest bit, if one is to be changed.
    init(order: StridedOrder?, dtype: DType, isBigEndian: Bool, changing changedSigns: ChangedSigns = ChangedSigns()) {
        self.order = order
        width = max(1, dtype.bitWidth / 8)
        numberByteCount = dtype.scalarByteCount
        swappedByteCount = isBigEndian && numberByteCount > 1 ? numberByteCount : nil
        self.changedSigns = changedSigns
    }

    /// Whether the stored bytes are used as they are.
    var areNative: Bool { order == nil && swappedByteCount == nil && changedSigns == ChangedSigns() }

    /// Reads a range of the little-endian row-major bytes.
    ///
    /// - Precondition: `data` is all of what the elements lie in, from the first on; `target` has the size of the range.
    func read(_ range: Range<Int>, of data: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) {
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
        if let order {
            order.gather(elements, width: width, from: from, to: to)
            swapInPlace(target)
        } else {
            let part = UnsafeRawBufferPointer(rebasing: data[elements.lowerBound * width..<elements.upperBound * width])
            if swappedByteCount == nil { target.copyMemory(from: part) } else { swap(part, to: target) }
        }
        changeSigns(target)
    }

    /// Changes signs of little-endian elements.
    private func changeSigns(_ elements: UnsafeMutableRawBufferPointer) {
        let places = [(changedSigns.real, 0), (changedSigns.imaginary, numberByteCount)]
        for (isChanged, start) in places where isChanged {
            for last in stride(from: start + numberByteCount - 1, to: elements.count, by: width) {
                elements[last] ^= 0x80
            }
        }
    }

    /// Brings the bytes of all numbers into little-endian order.
    func swapInPlace(_ bytes: UnsafeMutableRawBufferPointer) { swap(UnsafeRawBufferPointer(bytes), to: bytes) }

    /// Copies numbers with their bytes reversed; source and target may be the same memory.
    private func swap(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
        switch swappedByteCount {
        case nil: break
        case 2: copySwapping(source, to: target, as: UInt16.self)
        case 4: copySwapping(source, to: target, as: UInt32.self)
        case 8: copySwapping(source, to: target, as: UInt64.self)
        case let width?: preconditionFailure("no byte order has numbers of \(width) bytes")
        }
    }
}

private func copySwapping<T: FixedWidthInteger & BitwiseCopyable>(
    _ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer, as type: T.Type
) {
    // Safety: both hold `count` numbers; neither access needs alignment.
    guard let from = source.baseAddress, let to = target.baseAddress else { return }
    let width = MemoryLayout<T>.size
    for index in 0..<source.count / width {
        let number = from.loadUnaligned(fromByteOffset: index &* width, as: T.self)
        to.storeBytes(of: number.byteSwapped, toByteOffset: index &* width, as: T.self)
    }
}
