import SystemPackage
import TensorCore

/// How the tensors of a GGUF head lie in the data behind it.
struct GGUFDataLayout {
    /// The tensors of which all bytes are there, by position.
    private(set) var entries: [GGUFHeader.Entry] = []
    private var lost: [GGUFHeader.Entry] = []
    private let fileByteCount: Int
    private let file: FilePath

    /// Checks that the tensors follow each other, each at the next aligned position.
    ///
    /// - Parameter salvaging: whether tensors that the file ends before are left out instead of refused.
    /// - Throws: `FormatError` with `overflow`, `hole`, `overlap` or `truncated`.
    init(
        of tensors: [GGUFTensorInfo], alignment: Int, dataStart: Int, fileByteCount: Int, file: FilePath,
        salvaging: Bool
    ) throws(FormatError) {
        self.fileByteCount = fileByteCount
        self.file = file
        var position = 0
        for tensor in tensors {
            let descriptor = tensor.descriptor
            func fault(_ category: FormatCategory, _ what: String) -> FormatError {
                FormatError(
                    category, "tensor \"\(descriptor.name)\" begins at data byte \(tensor.begin) \(what)", file: file,
                    tensor: descriptor.name, byteOffset: tensor.byteOffset)
            }
            guard let begin = Int(exactly: tensor.begin),
                case (let start, false) = dataStart.addingReportingOverflow(begin),
                case (let end, false) = start.addingReportingOverflow(descriptor.byteCount),
                case (let padded, false) = end.addingReportingOverflow(alignment)
            else { throw fault(.overflow, "and ends beyond what 64 bits can count") }
            guard begin == position else {
                throw fault(begin > position ? .hole : .overlap, "but the tensor before it ends at \(position)")
            }
            // An empty tensor may begin behind the last byte, in padding that is not there.
            let range = start == end ? min(start, fileByteCount)..<min(start, fileByteCount) : start..<end
            let entry = GGUFHeader.Entry(descriptor: descriptor, range: range)
            if range.upperBound <= fileByteCount {
                entries.append(entry)
            } else {
                guard salvaging else { throw Self.cut(entry, fileByteCount: fileByteCount, file: file) }
                lost.append(entry)
            }
            position = (padded - 1) / alignment * alignment - dataStart
        }
    }

    /// The error for a tensor that the file ends before.
    private static func cut(_ entry: GGUFHeader.Entry, fileByteCount: Int, file: FilePath) -> FormatError {
        let name = entry.descriptor.name
        return FormatError(
            .truncated,
            "tensor \"\(name)\" ends at byte \(entry.range.upperBound) but the file has \(fileByteCount)", file: file,
            tensor: name, byteOffset: min(entry.range.lowerBound, fileByteCount),
            hint: "the file is probably cut short: get it again, or keep what is whole with "
                + "`untangle convert \(GGUFSplit.first(of: file).string) OUTPUT --salvage`")
    }

    /// The tensors of which bytes are missing.
    var damage: [Damage] {
        lost.map { entry in
            let start = min(entry.range.lowerBound, fileByteCount)
            let missing = entry.range.upperBound - max(entry.range.lowerBound, fileByteCount)
            return Damage(
                tensor: entry.descriptor.name, file: file, offset: start, byteCount: fileByteCount - start,
                reason: "the file ends at byte \(fileByteCount), and \(missing) bytes of the tensor are missing")
        }
    }
}
