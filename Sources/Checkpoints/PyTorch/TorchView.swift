import TensorCore

/// A tensor of a PyTorch checkpoint whose description was compared with the record that it is a view of.
struct TorchView {
    let descriptor: TensorDescriptor
    let record: TorchRecord
    /// The name of the record.
    let key: TorchStorage.Key
    /// How the elements lie in the record, from the first on.
    let elements: StridedElements
    /// The bytes of the record from the first element to the last; empty when there is none.
    let range: Range<Int>
    /// In elements, for the comparison with other views.
    let strides: [Int]

    /// Checks a tensor.
    ///
    /// - Throws: `FormatError` `bad_storage`, `bad_shape`, `out_of_bounds_view`, `overflow`, `unsupported_object`,
    ///   `unsupported_dtype`, `truncated`, naming the tensor.
    init(_ tensor: TorchTensor, named name: TensorName, of file: TorchFile) throws(FormatError) {
        func fault(_ category: FormatCategory, _ message: String, at position: Int) -> FormatError {
            FormatError(
                category, "tensor \"\(name)\" \(message)", file: file.source.file, tensor: name,
                byteOffset: file.source.start.map { $0 + position })
        }
        func fault(_ category: FormatCategory, _ message: String) -> FormatError {
            fault(category, message, at: tensor.byteOffset)
        }
        let storage = tensor.storage
        let label = "storage \(storage.key)"
        if storage.isQuantised {
            throw fault(.unsupportedObject, "is quantised, and only tensors of plain numbers are read")
        }
        let dtype: DType
        switch (tensor.dtype, storage.dtype) {
        case (.known(let type), _), (nil, let type?): dtype = type
        case (.unsupported(let type), _):
            throw fault(.unsupportedDtype, "has elements of the type \(type), which no checkpoint format has")
        case (nil, nil): throw fault(.badStorage, "is a view of \(label), and neither says of what type it is")
        }
        let width = TorchDType.width(of: dtype)

        guard let record = file.records[storage.key] else {
            throw fault(.badStorage, "is a view of \(label), which the file does not have", at: storage.byteOffset)
        }
        let (byteCount, overflow) = storage.count.multipliedReportingOverflow(
            by: storage.dtype.map(TorchDType.width) ?? 1)
        if overflow {
            throw fault(
                .overflow, "is a view of \(label), which is said to have \(storage.count) elements",
                at: storage.byteOffset)
        }
        let agrees = record.isCut || record.byteCount == byteCount
        guard agrees, record.count.map({ $0 == storage.count }) ?? true else {
            throw fault(
                .badStorage,
                "is a view of \(label), which is said to have \(byteCount) bytes and has \(record.byteCount)",
                at: storage.byteOffset)
        }

        // The part of the storage that the tensor may use, in its elements.
        var start = 0
        var count = byteCount / width
        if let part = storage.part {
            let (end, overflow) = part.start.addingReportingOverflow(part.count)
            guard !overflow, end <= count else {
                throw fault(
                    .badStorage, "is a view of elements \(part.start) to \(end) of \(label), which has \(count)")
            }
            (start, count) = (part.start, part.count)
        }
        let dims = tensor.shape
        guard dims.allSatisfy({ $0 >= 0 }) else { throw fault(.badShape, "has a negative dimension: \(dims)") }
        guard dims.count == tensor.strides.count else {
            throw fault(.outOfBoundsView, "has \(dims.count) dimensions and \(tensor.strides.count) strides")
        }
        guard tensor.offset >= 0, tensor.strides.allSatisfy({ $0 >= 0 }) else {
            throw fault(.outOfBoundsView, "has a negative offset or stride: \(tensor.offset), \(tensor.strides)")
        }
        let last = Self.lastElement(of: dims, strides: tensor.strides, offset: tensor.offset)
        guard let last, last < count else {
            throw fault(
                .outOfBoundsView,
                "of shape \(dims) reaches to element \(last.map(String.init) ?? "beyond 2^63") of \(label), which has \(count)"
            )
        }

        do throws(DescriptorError) {
            descriptor = try TensorDescriptor(name: name, dtype: dtype, shape: Shape(try Self.logical(dims, dtype)))
        } catch { throw fault(.overflow, "has the shape \(dims), whose size exceeds 63 bits") }
        self.record = record
        key = storage.key
        strides = tensor.strides
        range = last < 0 ? 0..<0 : (start + tensor.offset) * width..<(start + last + 1) * width
        // A record that is cut may claim any size; all that is not lies in the file.
        if record.isCut, range.upperBound > record.byteCount {
            throw fault(
                .truncated, "needs \(range.upperBound) bytes of \(label), of which the file has \(record.byteCount)")
        }
        guard let changedSigns = ChangedSigns(tensor.bits, of: dtype) else {
            throw fault(
                .unsupportedObject,
                "is a \(tensor.bits.contains(.negated) ? "negated" : "conjugated") view of elements of type \(dtype.rawValue)"
            )
        }
        elements = StridedElements(
            order: StridedOrder(dims: dims, strides: tensor.strides), dtype: dtype, isBigEndian: file.isBigEndian,
            changing: changedSigns)
    }

    /// The number of the last element in the storage, -1 when there is none; nil when it is beyond 63 bits.
    private static func lastElement(of dims: [Int], strides: [Int], offset: Int) -> Int? {
        if dims.contains(0) { return -1 }
        var last = offset
        for (dim, stride) in zip(dims, strides) {
            let (reach, tooFar) = (dim - 1).multipliedReportingOverflow(by: stride)
            let (sum, overflow) = last.addingReportingOverflow(reach)
            if tooFar || overflow { return nil }
            last = sum
        }
        return last
    }

    /// The shape in numbers: PyTorch counts two of four bits as one element.
    private static func logical(_ dims: [Int], _ dtype: DType) throws(DescriptorError) -> [Int] {
        guard dtype == .f4 else { return dims }
        guard let last = dims.last else { return [2] }
        let (doubled, overflow) = last.multipliedReportingOverflow(by: 2)
        if overflow { throw .overflow }
        return dims.dropLast() + [doubled]
    }

    /// Whether the bytes can be used where they are mapped.
    var isMapped: Bool { record.isStored && elements.areNative }

    /// Where the elements lie in the file, or the compressed record.
    var location: Range<Int> {
        guard record.isStored else { return record.data }
        return record.data.lowerBound + range.lowerBound..<record.data.lowerBound + range.upperBound
    }
}

extension ChangedSigns {
    /// What the bits of a view mean for its numbers; nil when they mean nothing for numbers of their type, or more than a sign.
    fileprivate init?(_ bits: TorchTensor.Bits, of dtype: DType) {
        let isComplex = dtype == .c64 || dtype == .c128
        let isNegated = bits.contains(.negated)
        guard bits.isEmpty || isComplex || dtype.isComputable && bits == .negated else { return nil }
        self.init(real: isNegated, imaginary: isComplex && isNegated != bits.contains(.conjugated))
    }
}
