import SystemPackage
import TensorCore

// Layout of a .safetensors file:
//
//     8 bytes   N, the length of the header, unsigned, little-endian
//     N bytes   header: UTF-8 JSON, one object; writers pad it with spaces to a multiple of 8
//     the rest  data: the tensors without gaps, little-endian, row-major
//
// Header entry: `"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}`, where offsets count from the
// first byte after the header; `"__metadata__"` maps strings to strings.
// Source: https://github.com/huggingface/safetensors, version 0.8.

/// The header of a safetensors file, checked rule by rule against the size of the file.
struct SafetensorsHeader {
    /// A tensor with its range in the file.
    struct Entry {
        let descriptor: TensorDescriptor
        let range: Range<Int>
    }

    /// The largest header that the reference implementation reads.
    static let byteCountLimit = 100_000_000

    /// The tensors in the order of their data.
    let entries: [Entry]
    let metadata: Metadata
    let warnings: [Warning]
    /// What is wrong with the data of a file that is salvaged: tensors that it ends before, bytes behind the last one.
    let damage: [Damage]

    /// Checks the header at the start of a file.
    ///
    /// Tensor data is not touched. Stricter than the reference implementation where two parsers could see two different
    /// models: duplicate keys are refused, and so is metadata that is `null`. Unknown fields and white space before the
    /// header are tolerated with a warning. A dimension beyond 2^63-1 is refused even beside a dimension of zero.
    ///
    /// - Parameter salvaging: whether data that is cut short, or followed by other bytes, is taken for what is there of it.
    /// - Throws: `FormatError` with the byte offset of the first rule that is broken.
    init(
        parsing bytes: UnsafeRawBufferPointer, of file: FilePath, salvaging: Bool = false
    ) throws(FormatError) {
        guard bytes.count >= 8 else {
            throw FormatError(
                .truncated, "the file has \(bytes.count) bytes, fewer than the 8 of the header length", file: file,
                byteOffset: 0)
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard let headerByteCount = Int(exactly: length), headerByteCount <= Self.byteCountLimit else {
            throw Self.impossibleLength(length, of: file)
        }
        guard headerByteCount <= bytes.count - 8 else {
            throw FormatError(
                .truncated, "the header claims \(headerByteCount) bytes but \(bytes.count - 8) follow", file: file,
                byteOffset: 0, hint: "the file is probably cut short; compare its size with the source")
        }
        let header = UnsafeRawBufferPointer(rebasing: bytes[8..<8 + headerByteCount])
        let root = try JSONDocument.parse(header, file: file, base: 8)
        guard let members = root.object else {
            throw FormatError(
                .invalidJSON, "the header is \(root.kind.phrase), not an object", file: file,
                byteOffset: root.byteOffset)
        }
        var warnings: [Warning] = []
        if root.byteOffset > 8 {
            warnings.append(Warning(FormatWarning.leadingSpace, "the header begins with white space"))
        }
        // Metadata is rule 7 and tensors rules 8 to 14, wherever the metadata stands in the header.
        metadata = try Self.metadata(of: members, file: file)
        var tensors: [SafetensorsEntry] = []
        for member in members where !member.name.isString("__metadata__") {
            tensors.append(try SafetensorsEntry(member, file: file))
        }
        let unusual = tensors.lazy.filter { $0.unknownField != nil }
        if let first = unusual.first, let field = first.unknownField {
            warnings.append(
                Warning(
                    FormatWarning.unknownField,
                    "\(unusual.count) tensor(s) have unknown fields, such as \"\(field)\" of "
                        + "\"\(first.descriptor.name)\""))
        }
        let layout = try DataLayout(of: tensors, dataStart: 8 + headerByteCount, fileByteCount: bytes.count, file: file)
        if !salvaging { try layout.requireWhole() }
        entries = layout.entries
        damage = layout.damage
        self.warnings = warnings
    }

    private static func metadata(of members: JSONMembers, file: FilePath) throws(FormatError) -> Metadata {
        guard let member = members.first(where: { $0.name.isString("__metadata__") }) else { return Metadata() }
        guard let texts = member.value.object else {
            throw FormatError(
                .badMetadata, "`__metadata__` is \(member.value.kind.phrase), not an object", file: file,
                byteOffset: member.value.byteOffset)
        }
        var entries: [Metadata.Entry] = []
        for text in texts {
            guard let value = text.value.string else {
                throw FormatError(
                    .badMetadata,
                    "the metadata \"\(text.key.escapingControlCharacters)\" is \(text.value.kind.phrase), not a string",
                    file: file, byteOffset: text.value.byteOffset)
            }
            entries.append(Metadata.Entry(key: text.key, value: value))
        }
        return Metadata(uniqueEntries: entries)
    }

    /// The error for a length that no header has.
    private static func impossibleLength(_ length: UInt64, of file: FilePath) -> FormatError {
        FormatError(
            .headerTooLarge, "the header claims \(length) bytes; at most \(byteCountLimit) are allowed", file: file,
            byteOffset: 0, hint: "the file is probably no safetensors file; see how it begins")
    }
}
