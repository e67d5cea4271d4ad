import SystemPackage
import TensorCore

/// The head of a GGUF file, and the positions of a list of tensors in it: in the order of the list, each padded to the alignment.
struct GGUFLayout {
    let head: [UInt8]
    /// Where each declared tensor begins in the file.
    let offsets: [Int]
    /// The size with the padding of the last tensor, which llama.cpp writes.
    let fileByteCount: Int

    static let version: UInt32 = 3
    /// The padding of a file without numbers is no larger.
    private static let alignmentLimit = 1 << 20

    /// Lays tensors out one behind the other and makes the head.
    ///
    /// - Parameter keepsAlignment: whether data are aligned as the metadata say.
    /// - Throws: `FormatError` `unsupported_dtype` and `bad_shape` for a tensor that the format cannot hold, `bad_name` for a long name
    ///   or key, `duplicate_key` for a name declared twice, `limit_exceeded` for a head that would not be read, `overflow`.
    init(
        _ descriptors: [TensorDescriptor], metadata: GGUFMetadata, keepsAlignment: Bool = false, file: FilePath
    ) throws(FormatError) {
        // Another alignment, which a copied file may state, is for its own data.
        let alignment = keepsAlignment ? metadata.alignment ?? GGUFHeader.defaultAlignment : GGUFHeader.defaultAlignment
        let pairs = metadata.entries.filter { keepsAlignment || $0.key != GGUFHeader.alignmentKey }
        try Self.requireLimit(Self.alignmentLimit, alignment, "bytes of alignment", file: file)
        try Self.requireLimit(GGUFHeader.tensorLimit, descriptors.count, "tensors", file: file)
        try Self.requireLimit(GGUFHeader.pairLimit, pairs.count, "key-value pairs", file: file)
        var bytes = GGUFBytes()
        bytes.append(contentsOf: GGUFHeader.magic)
        bytes.append(Self.version)
        bytes.append(UInt64(descriptors.count))
        bytes.append(UInt64(pairs.count))
        for entry in pairs {
            guard (1...GGUFHeader.keyByteLimit).contains(entry.key.utf8.count) else {
                throw FormatError(
                    .badName,
                    "a metadata key has \(entry.key.utf8.count) bytes; GGUF holds 1 to "
                        + "\(GGUFHeader.keyByteLimit)", file: file)
            }
            bytes.append(entry.key)
            bytes.append(entry.value.kind.rawValue)
            bytes.append(entry.value)
        }
        var offsets: [Int] = []
        var position = 0
        var names = Set<TensorName>(minimumCapacity: descriptors.count)
        for descriptor in descriptors {
            guard names.insert(descriptor.name).inserted else {
                throw FormatError(
                    .duplicateKey, "two tensors are named \"\(descriptor.name)\"", file: file, tensor: descriptor.name)
            }
            bytes.append(descriptor.name.text)
            bytes.append(UInt32(descriptor.shape.rank))
            for dim in descriptor.shape.dims.reversed() { bytes.append(UInt64(dim)) }
            bytes.append(try Self.number(of: descriptor, file: file))
            bytes.append(UInt64(position))
            offsets.append(position)
            guard case (let end, false) = position.addingReportingOverflow(descriptor.byteCount),
                case (let padded, false) = end.addingReportingOverflow(alignment - 1)
            else { throw Self.tooLarge(file) }
            position = padded / alignment * alignment
        }
        try Self.requireLimit(GGUFFields.byteLimit, bytes.content.count, "bytes of head", file: file)
        bytes.pad(to: alignment)
        head = bytes.content
        guard case (let byteCount, false) = head.count.addingReportingOverflow(position) else {
            throw Self.tooLarge(file)
        }
        self.offsets = offsets.map { $0 + bytes.content.count }
        fileByteCount = byteCount
    }

    /// Makes sure that a head is one that is read.
    private static func requireLimit(_ limit: Int, _ count: Int, _ things: String, file: FilePath) throws(FormatError) {
        guard count > limit else { return }
        throw FormatError(
            .limitExceeded, "the file would have \(count) \(things); GGUF files of at most \(limit) are read",
            file: file)
    }

    /// The number of a tensor's type.
    private static func number(of descriptor: TensorDescriptor, file: FilePath) throws(FormatError) -> UInt32 {
        let (name, layout, shape) = (descriptor.name, descriptor.layout, descriptor.shape)
        func fault(_ category: FormatCategory, _ what: String, hint: String) -> FormatError {
            FormatError(category, "GGUF cannot hold tensor \"\(name)\" \(what)", file: file, tensor: name, hint: hint)
        }
        guard name.text.utf8.count <= GGUFHeader.nameByteLimit else {
            throw fault(
                .badName, "of that name: it has \(name.text.utf8.count) bytes, more than \(GGUFHeader.nameByteLimit)",
                hint: "rename the tensor with --rename")
        }
        guard shape.rank <= GGUFHeader.rankLimit else {
            throw fault(
                .badShape, "of shape \(shape): it has more than \(GGUFHeader.rankLimit) dimensions", hint: "exclude it")
        }
        guard (shape.dims.last ?? 1) % layout.unit.elements == 0 else {
            throw fault(
                .badShape, "of shape \(shape) as \(layout.name): rows must be a multiple of \(layout.unit.elements)",
                hint: "write it as F16, BF16 or F32")
        }
        guard let number = layout.ggmlNumber else {
            let isCast = layout.isPlain && layout.dtype.isFloatingPoint
            throw fault(
                .unsupportedDtype, "of dtype \(layout.name)", hint: isCast ? "cast with --dtype F32" : "exclude it")
        }
        return number
    }

    private static func tooLarge(_ file: FilePath) -> FormatError {
        FormatError(.overflow, "the tensors are larger than a file can be", file: file)
    }
}
