import Glibc
import SystemPackage
import TensorCore

/// The first bytes of a file, from which its format is told.
struct FileSignature {
    private let path: FilePath
    private let head: [UInt8]
    private let byteCount: Int

    /// - Throws: `IOError` when the file cannot be read.
    init(of path: FilePath) throws(IOError) {
        let file = try MappedFile(path)
        self.path = path
        byteCount = file.byteCount
        head = file.withUnsafeBytes { Array($0.prefix(256)) }
    }

    /// The format by content, then by extension.
    ///
    /// - Throws: `FormatError` `unknown_format` that says what the file looks like.
    func format() throws(FormatError) -> FormatID {
        let named = CheckpointFormat.format(ofOutput: path)
        // A safetensors header of 0x04034B50 bytes begins with the signature of a zip; its upper length bytes are zero.
        if named == .safetensors, claimedHeaderByteCount != nil { return .safetensors }
        if head.starts(with: SkeinSeal.magic) { return .skein }
        if head.starts(with: [0x93] + "NUMPY".utf8) { return .npy }
        if head.starts(with: "PK\u{3}\u{4}".utf8) || head.starts(with: "PK\u{5}\u{6}".utf8) {
            if let problem = torchArchiveProblem(named: named) { throw problem }
            return .npz
        }
        if let named { return named }
        if let other = otherFormat {
            throw FormatError(
                .unknownFormat, "\(path.string) is \(other.what), which this version does not read", file: path,
                byteOffset: 0, hint: other.hint)
        }
        if let headerByteCount = claimedHeaderByteCount, headerByteCount <= byteCount - 8,
            head.dropFirst(8).first(where: { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }) == UInt8(ascii: "{")
        {
            return .safetensors
        }
        let seen =
            head.isEmpty
            ? "is empty"
            : "begins with the bytes "
                + head.prefix(8).map { ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }
                .joined(separator: " ")
        throw FormatError(
            .unknownFormat, "\(path.string) \(seen), which is no format that this version reads", file: path,
            byteOffset: 0, hint: "supported are .safetensors, *.index.json, .npz, .npy and .skein")
    }

    /// The header length if the file is safetensors; nil when it is too large to be one.
    private var claimedHeaderByteCount: Int? {
        guard head.count >= 8 else { return nil }
        let length = head.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        guard let length = Int(exactly: length), length <= SafetensorsHeader.byteCountLimit else { return nil }
        return length
    }

    private static let torchHint =
        "load it in PyTorch and save its state dict with safetensors.torch.save_file"

    /// A zip that PyTorch wrote: its first member is a pickle or a record in a root folder.
    private func torchArchiveProblem(named: FormatID?) -> FormatError? {
        let nameByteCount = head.count >= 30 ? Int(head[26]) | Int(head[27]) << 8 : 0
        let name = String(decoding: head.dropFirst(30).prefix(nameByteCount), as: UTF8.self)
        let isTorchMember = ["/data.pkl", "/.format_version", "/byteorder", "/version"].contains { name.hasSuffix($0) }
        let isTorchName = ["pt", "pth", "bin", "ckpt"].contains(path.extension?.lowercased())
        guard isTorchMember || named == nil && isTorchName else { return nil }
        return FormatError(
            .unknownFormat, "\(path.string) is a PyTorch zip of pickles, which this version does not read", file: path,
            byteOffset: 0, hint: Self.torchHint)
    }

    /// What the file is, if it is something well known that is not supported.
    private var otherFormat: (what: String, hint: String?)? {
        if head.starts(with: "GGUF".utf8) { return ("a GGUF file", nil) }
        if head.starts(with: [0x89] + "HDF\r\n".utf8 + [0x1A, 0x0A]) { return ("an HDF5 file", nil) }
        if head.count >= 2, head[0] == 0x80, (2...5).contains(head[1]) {
            return ("a PyTorch or Python pickle", Self.torchHint)
        }
        if head.starts(with: "version https://git-lfs".utf8) {
            return ("a Git LFS pointer", "fetch the real file with `git lfs pull`")
        }
        if head.starts(with: [0x1F, 0x8B]) { return ("a gzip file", "decompress it first") }
        return nil
    }
}
