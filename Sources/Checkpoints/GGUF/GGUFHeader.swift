import SystemPackage
import TensorCore

// Layout of a .gguf file, versions 2 and 3, all numbers little-endian:
//
//     4 bytes   "GGUF"
//     4 bytes   version
//     8 bytes   number of tensors
//     8 bytes   number of key-value pairs
//     pairs     key, 4 bytes of the value's kind, value
//     tensors   name, 4 bytes of rank, 8 bytes for each dimension (fastest first), 4 bytes of the element type,
//               8 bytes of the offset in the data
//     padding   to a multiple of the alignment: that of the key `general.alignment`, or 32
//     data      the tensors in the order of the list, each padded to the alignment, the last one perhaps not
//
// A string is 8 bytes of length and that many bytes of UTF-8; an array is 4 bytes of the elements' kind, 8 bytes of their number
// and the elements; a truth value is a byte.
// Source: `docs/gguf.md` of ggml; the checks are those of `gguf.cpp` of llama.cpp, which are stricter than those of gguf-py.

/// The head of a GGUF file, checked rule by rule against the size of the file.
struct GGUFHeader {
    /// A tensor with its range in the file.
    struct Entry {
        let descriptor: TensorDescriptor
        let range: Range<Int>
    }

    static let magic = Array("GGUF".utf8)
    static let alignmentKey = "general.alignment"
    static let defaultAlignment = 32
    /// ggml keeps names in 64 bytes, with a zero behind.
    static let nameByteLimit = 63
    static let keyByteLimit = 65_535
    static let rankLimit = 4
    /// The most tensors and pairs that are read, a hundred times what large models have.
    static let tensorLimit = 100_000
    static let pairLimit = 10_000

    let metadata: GGUFMetadata
    /// The tensors that lie in the file, in its order.
    let entries: [Entry]
    /// What is wrong with the data of a file that is salvaged: tensors that it ends before.
    let damage: [Damage]

    /// Checks the head of a file; tensor data is not touched.
    ///
    /// - Parameter salvaging: whether tensors that the file ends before are left out instead of refused.
    /// - Throws: `FormatError` with the byte offset of the first rule that is broken.
    init(
        parsing bytes: UnsafeRawBufferPointer, of file: FilePath, salvaging: Bool = false
    ) throws(FormatError) {
        var fields = GGUFFields(bytes, of: file)
        try Self.checkMagic(of: bytes, file: file)
        _ = try fields.take(UInt32.self)
        try Self.checkVersion(&fields)
        let tensorCount = try Self.takeCount(
            of: "tensors", leastByteCount: GGUFTensorInfo.leastByteCount, limit: Self.tensorLimit,
            fileByteCount: bytes.count, from: &fields)
        let pairCount = try Self.takeCount(
            of: "key-value pairs", leastByteCount: 13, limit: Self.pairLimit, fileByteCount: bytes.count, from: &fields)
        metadata = try Self.takeMetadata(count: pairCount, from: &fields)
        let alignment = try Self.alignment(of: metadata, fields)
        var tensors: [GGUFTensorInfo] = []
        var names: Set<TensorName> = []
        for _ in 0..<tensorCount {
            let tensor = try GGUFTensorInfo(from: &fields, alignment: alignment)
            let name = tensor.descriptor.name
            guard names.insert(name).inserted else {
                throw fields.fault(
                    .duplicateKey, "two tensors are named \"\(name)\"", at: tensor.byteOffset, tensor: name)
            }
            tensors.append(tensor)
        }
        // A head in a mapped file is far from where this sum would overflow.
        let dataStart = (fields.position + alignment - 1) / alignment * alignment
        let layout = try GGUFDataLayout(
            of: tensors, alignment: alignment, dataStart: dataStart, fileByteCount: bytes.count, file: file,
            salvaging: salvaging)
        entries = layout.entries
        damage = layout.damage
    }

    private static func checkMagic(of bytes: UnsafeRawBufferPointer, file: FilePath) throws(FormatError) {
        guard bytes.prefix(4).elementsEqual(magic) else {
            if bytes.count < 4 {
                throw FormatError(
                    .truncated, "the file has \(bytes.count) bytes, fewer than the 4 of the magic number", file: file,
                    byteOffset: 0, hint: "the download probably failed; get it again")
            }
            throw FormatError(.badMagic, "the file does not begin with \"GGUF\"", file: file, byteOffset: 0)
        }
    }

    private static func checkVersion(_ fields: inout GGUFFields) throws(FormatError) {
        let version = try fields.take(UInt32.self)
        if version & 0xFFFF == 0, version != 0 {
            throw fields.fault(
                .unsupportedVersion, "the file is big-endian; only little-endian files are read", at: 4,
                hint: "convert it with `gguf-convert-endian` of the Python package gguf")
        }
        guard version == 2 || version == 3 else {
            throw fields.fault(
                .unsupportedVersion, "the file is of version \(version); 2 and 3 are read", at: 4,
                hint: version == 1 ? "files of 2023 have it; convert the model again from its source" : nil)
        }
    }

    /// Takes a number of things that take at least so many bytes each.
    private static func takeCount(
        of things: String, leastByteCount: Int, limit: Int, fileByteCount: Int, from fields: inout GGUFFields
    ) throws(FormatError) -> Int {
        let claimed = try fields.take(UInt64.self)
        // A file that was cut short within its first page is told so where it ends.
        let room = max(fileByteCount, 4096) / leastByteCount
        guard let count = Int(exactly: claimed), count <= room else {
            throw fields.fault(
                .limitExceeded,
                "the file claims \(claimed) \(things) of at least \(leastByteCount) bytes each but has \(fileByteCount) "
                    + "bytes", at: fields.position - 8)
        }
        guard count <= limit else {
            throw fields.fault(
                .limitExceeded, "the file has \(count) \(things); at most \(limit) are read", at: fields.position - 8)
        }
        return count
    }

    private static func takeMetadata(
        count: Int, from fields: inout GGUFFields
    ) throws(FormatError) -> GGUFMetadata {
        var entries: [GGUFMetadata.Entry] = []
        var keys: Set<TensorName> = []
        for _ in 0..<count {
            let start = fields.position
            let key = try fields.takeString()
            guard !key.isEmpty else { throw fields.fault(.badName, "a key is empty", at: start) }
            guard key.utf8.count <= keyByteLimit else {
                throw fields.fault(
                    .limitExceeded, "a key has \(key.utf8.count) bytes; at most \(keyByteLimit) are allowed", at: start)
            }
            guard keys.insert(TensorName(key)).inserted else {
                throw fields.fault(
                    .duplicateKey, "the key \"\(key.escapingControlCharacters)\" occurs twice", at: start)
            }
            let kind = try fields.takeKind()
            entries.append(GGUFMetadata.Entry(key: key, value: try fields.takeValue(of: kind)))
        }
        return GGUFMetadata(uniqueEntries: entries)
    }

    private static func alignment(of metadata: GGUFMetadata, _ fields: GGUFFields) throws(FormatError) -> Int {
        guard let alignment = metadata.alignment else {
            throw fields.fault(
                .badAlignment,
                "`\(alignmentKey)` is \(metadata[alignmentKey]?.description.escapingControlCharacters ?? "absent"), not a "
                    + "power of two of 32 bits", at: 24)
        }
        return alignment
    }
}
