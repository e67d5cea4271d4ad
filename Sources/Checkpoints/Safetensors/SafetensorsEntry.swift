import SystemPackage
import TensorCore

/// One tensor of a safetensors header, checked by itself; how the tensors lie to each other comes later.
struct SafetensorsEntry {
    let descriptor: TensorDescriptor
    /// The range that the header claims, counted from the end of the header; not yet compared with the file.
    let begin: UInt64
    let end: UInt64
    /// Where the entry stands in the file.
    let byteOffset: Int
    /// The first field that the format does not define.
    let unknownField: String?

    /// Checks one header entry in the order of the rules: fields, dtype, shape, offsets, size.
    ///
    /// - Throws: `FormatError` with the tensor's name and the byte offset of the value at fault.
    init(_ member: JSONMembers.Member, file: FilePath) throws(FormatError) {
        let name = TensorName(member.key)
        func fault(_ category: FormatCategory, _ message: String, at value: JSONValue) -> FormatError {
            FormatError(
                category, "tensor \"\(name)\" \(message)", file: file, tensor: name, byteOffset: value.byteOffset)
        }

        guard let fields = member.value.object else {
            throw fault(.badTensorInfo, "is described by \(member.value.kind.phrase), not an object", at: member.value)
        }
        var dtypeField: JSONValue?
        var shapeField: JSONValue?
        var offsetsField: JSONValue?
        var unknownField: String?
        for field in fields {
            if field.name.isString("dtype") {
                dtypeField = field.value
            } else if field.name.isString("shape") {
                shapeField = field.value
            } else if field.name.isString("data_offsets") {
                offsetsField = field.value
            } else if unknownField == nil {
                unknownField = field.key.escapingControlCharacters
            }
        }
        self.unknownField = unknownField
        guard let dtypeField else { throw fault(.missingField, "has no `dtype`", at: member.value) }
        guard let shapeField else { throw fault(.missingField, "has no `shape`", at: member.value) }
        guard let offsetsField else { throw fault(.missingField, "has no `data_offsets`", at: member.value) }

        guard let dtypeName = dtypeField.string else {
            throw fault(.unknownDtype, "has \(dtypeField.kind.phrase) for a dtype", at: dtypeField)
        }
        guard let dtype = DType(rawValue: dtypeName), dtype != .c128 else {
            throw fault(
                .unknownDtype, "has the unknown dtype \"\(dtypeName.escapingControlCharacters)\"", at: dtypeField)
        }
        let dims = try Self.dims(shapeField, fault: fault)
        (begin, end) = try Self.offsets(offsetsField, fault: fault)

        do { descriptor = try TensorDescriptor(name: name, dtype: dtype, shape: Shape(dims)) } catch {
            switch error {
            case .overflow:
                throw fault(.overflow, "of shape \(Shape(dims)) is larger than 64 bits can count", at: shapeField)
            case .partialUnit(let elements):
                throw fault(
                    .misalignedSubbyte,
                    "of dtype \(dtypeName) and shape \(Shape(dims)) has \(elements * dtype.bitWidth) "
                        + "bits, not whole bytes",
                    at: shapeField)
            }
        }
        guard end - begin == UInt64(descriptor.byteCount) else {
            throw fault(
                .sizeMismatch,
                "of dtype \(dtypeName) and shape \(Shape(dims)) needs \(descriptor.byteCount) bytes but its range has "
                    + "\(end - begin)", at: offsetsField)
        }
        byteOffset = member.name.byteOffset
    }

    private typealias Fault = (FormatCategory, String, JSONValue) -> FormatError

    private static func dims(_ field: JSONValue, fault: Fault) throws(FormatError) -> [Int] {
        guard let list = field.array else {
            throw fault(.badShape, "has \(field.kind.phrase) for a shape", field)
        }
        var dims: [Int] = []
        for element in list {
            guard let dim = element.uint64 else {
                let found = element.numberText ?? element.kind.phrase
                throw fault(.badShape, "has \(found) in its shape, not a whole number from 0 to 2^64-1", element)
            }
            guard let dim = Int(exactly: dim) else {
                throw fault(.overflow, "has the dimension \(dim), more than 63 bits can count", element)
            }
            dims.append(dim)
        }
        return dims
    }

    private static func offsets(_ field: JSONValue, fault: Fault) throws(FormatError) -> (UInt64, UInt64) {
        guard let list = field.array else {
            throw fault(.badOffsets, "has \(field.kind.phrase) for `data_offsets`", field)
        }
        var elements = list.makeIterator()
        guard let first = elements.next(), let second = elements.next(), elements.next() == nil else {
            throw fault(.badOffsets, "has \(list.count) values in `data_offsets`, not 2", field)
        }
        guard let begin = first.uint64, let end = second.uint64 else {
            throw fault(.badOffsets, "has `data_offsets` that are not whole numbers from 0 to 2^64-1", field)
        }
        guard begin <= end else {
            throw fault(.badOffsets, "has `data_offsets` that begin at \(begin) and end at \(end)", field)
        }
        return (begin, end)
    }
}
