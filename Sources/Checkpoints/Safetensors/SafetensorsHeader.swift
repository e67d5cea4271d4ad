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
    let warnings: [String]

    /// Checks the header at the start of a file.
    ///
    /// Tensor data is not touched. Stricter than the reference implementation where two parsers could see two different
    /// models: duplicate keys and `null` metadata are refused. Unknown fields and white space before the header are
    /// tolerated with a warning. A dimension beyond 2^63-1 is refused even beside a dimension of zero.
    ///
    /// - Throws: `FormatError` with the byte offset of the first rule that is broken.
    init(parsing bytes: UnsafeRawBufferPointer, of file: FilePath) throws(FormatError) {
        guard bytes.count >= 8 else {
            throw FormatError(
                .truncated, "the file has \(bytes.count) bytes, fewer than the 8 of the header length", file: file,
                byteOffset: 0)
        }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard let headerByteCount = Int(exactly: length), headerByteCount <= Self.byteCountLimit else {
            throw Self.impossibleLength(length, in: bytes, of: file)
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
        var warnings: [String] = []
        if root.byteOffset > 8 { warnings.append("the header begins with white space") }
        // Metadata is rule 7 and tensors rules 8 to 14, wherever the metadata stands in the header.
        metadata = try Self.metadata(of: members, file: file)
        var tensors: [SafetensorsEntry] = []
        for member in members where !member.name.isString("__metadata__") {
            tensors.append(try SafetensorsEntry(member, file: file))
        }
        let unusual = tensors.lazy.filter { $0.unknownField != nil }
        if let first = unusual.first, let field = first.unknownField {
            warnings.append(
                "\(unusual.count) tensor(s) have unknown fields, such as \"\(field)\" of \"\(first.descriptor.name)\"")
        }
        entries = try Self.layOut(tensors, dataStart: 8 + headerByteCount, fileByteCount: bytes.count, file: file)
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

    /// Sorts the tensors by position and checks that they cover the data exactly once.
    private static func layOut(
        _ tensors: [SafetensorsEntry], dataStart: Int, fileByteCount: Int, file: FilePath
    ) throws(FormatError) -> [Entry] {
        let dataByteCount = fileByteCount - dataStart
        var sorted = tensors
        // Empty tensors at one place stay in the order of the header.
        sorted.sort { ($0.begin, $0.end, $0.byteOffset) < ($1.begin, $1.end, $1.byteOffset) }
        var position: UInt64 = 0
        for tensor in sorted {
            guard tensor.begin == position else {
                let isHole = tensor.begin > position
                throw FormatError(
                    isHole ? .hole : .overlap,
                    "tensor \"\(tensor.descriptor.name)\" begins at data byte \(tensor.begin) but the tensor before it "
                        + "ends at \(position)",
                    file: file, tensor: tensor.descriptor.name, byteOffset: tensor.byteOffset)
            }
            position = tensor.end
        }
        // Each tensor begins where the last one ended, so the positions below are the only ones that may exceed the file.
        if position > UInt64(dataByteCount) {
            let cut = sorted.first { $0.end > UInt64(dataByteCount) }
            throw FormatError(
                .truncated, "the tensors need \(position) bytes of data but the file has \(dataByteCount)", file: file,
                tensor: cut?.descriptor.name, byteOffset: cut?.byteOffset,
                hint: "the file is probably cut short; compare its size with the source")
        }
        if position < UInt64(dataByteCount) {
            throw FormatError(
                .trailingBytes,
                "the tensors end at data byte \(position) but \(UInt64(dataByteCount) - position) bytes follow",
                file: file, byteOffset: dataStart + Int(position))
        }
        return sorted.map { tensor in
            Entry(descriptor: tensor.descriptor, range: dataStart + Int(tensor.begin)..<dataStart + Int(tensor.end))
        }
    }

    /// The error for a length that no header has, or for what the file is instead.
    private static func impossibleLength(
        _ length: UInt64, in bytes: UnsafeRawBufferPointer, of file: FilePath
    ) -> FormatError {
        let start = String(decoding: bytes.prefix(23), as: UTF8.self).lowercased()
        if ["<!doctype", "<html", "<?xml"].contains(where: start.hasPrefix) {
            return FormatError(
                .invalidJSON, "the file is a web page, not a checkpoint", file: file, byteOffset: 0,
                hint: "open it in a browser to see what the server said, and download again")
        }
        return FormatError(
            .headerTooLarge, "the header claims \(length) bytes; at most \(byteCountLimit) are allowed", file: file,
            byteOffset: 0,
            hint: start == "version https://git-lfs"
                ? "the file is a Git LFS pointer; fetch the real one with `git lfs pull`" : nil)
    }
}
