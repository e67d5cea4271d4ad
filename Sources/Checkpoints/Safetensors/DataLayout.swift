import SystemPackage
import TensorCore

/// How the tensors of a header lie in the data behind it.
struct DataLayout {
    /// The tensors of which all bytes are there, by position.
    let entries: [SafetensorsHeader.Entry]
    private let lost: [SafetensorsEntry]
    private let dataStart: Int
    private let fileByteCount: Int
    /// Where the last tensor ends in the data, according to the header.
    private let end: UInt64
    private let file: FilePath

    /// Sorts the tensors by position and checks that they follow each other.
    ///
    /// - Throws: `FormatError` with `hole` or `overlap`.
    init(
        of tensors: [SafetensorsEntry], dataStart: Int, fileByteCount: Int, file: FilePath
    ) throws(FormatError) {
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
        // Each tensor begins where the last one ended, so those that exceed the file are the last ones.
        let available = UInt64(fileByteCount - dataStart)
        entries = sorted.prefix { $0.end <= available }.map { tensor in
            .init(descriptor: tensor.descriptor, range: dataStart + Int(tensor.begin)..<dataStart + Int(tensor.end))
        }
        lost = Array(sorted.dropFirst(entries.count))
        end = position
        self.dataStart = dataStart
        self.fileByteCount = fileByteCount
        self.file = file
    }

    /// The bytes behind the last tensor.
    private var rest: Range<Int>? {
        guard lost.isEmpty, let end = Int(exactly: end), dataStart + end < fileByteCount else { return nil }
        return dataStart + end..<fileByteCount
    }

    /// Makes sure that the data is neither cut short nor followed by more.
    ///
    /// - Throws: `FormatError` with `truncated` or `trailing_bytes`.
    func requireWhole() throws(FormatError) {
        if let cut = lost.first {
            throw FormatError(
                .truncated,
                "the tensors need \(end) bytes of data but the file has \(fileByteCount - dataStart)", file: file,
                tensor: cut.descriptor.name, byteOffset: cut.byteOffset,
                hint: "the file is probably cut short: get it again, or keep what is whole with "
                    + "`untangle convert \(file.string) OUTPUT --salvage`")
        }
        if let rest {
            throw FormatError(
                .trailingBytes, "the tensors end at data byte \(end) but \(rest.count) bytes follow", file: file,
                byteOffset: rest.lowerBound,
                hint: "`untangle convert \(file.string) OUTPUT --salvage` writes the tensors without them")
        }
    }

    /// The tensors of which bytes are missing, and the bytes that belong to none.
    var damage: [Damage] {
        lost.map { tensor in
            // The beginning may lie beyond what can be counted; the file ends before.
            let start =
                Int(exactly: tensor.begin).map { min($0, fileByteCount - dataStart) + dataStart } ?? fileByteCount
            let missing = tensor.descriptor.byteCount - (fileByteCount - start)
            return Damage(
                tensor: tensor.descriptor.name, file: file, offset: start, byteCount: fileByteCount - start,
                reason: "the file ends at byte \(fileByteCount), and \(missing) bytes of the tensor are missing")
        }
            + (rest.map { rest in
                [
                    Damage(
                        tensor: nil, file: file, offset: rest.lowerBound, byteCount: rest.count,
                        reason: "\(rest.count) bytes follow the last tensor")
                ]
            } ?? [])
    }
}
