import Checkpoints
import SystemPackage
import TensorCore

/// What people give as data that is none: a picture alone, a video, a list of files.
struct ForeignData {
    /// What it is, to follow "is".
    let text: String

    /// What may be done about any of them.
    static let hint =
        "data is a folder, .tar or .zip of pictures, a .txt, .tsv or .jsonl of texts, or "
        + "an .npz: see docs/data.md"

    /// Looks at a path by its content; nil when nothing is recognised.
    init?(at path: FilePath) {
        guard let text = Self.file(path) else { return nil }
        self.text = text
    }

    private static func file(_ path: FilePath) -> String? {
        let suffix = path.extension?.lowercased() ?? ""
        guard let file = try? MappedFile(path) else { return nil }
        let head = file.withUnsafeBytes { Array($0.prefix(512)) }
        func has(_ text: String, at offset: Int) -> Bool { head.dropFirst(offset).starts(with: text.utf8) }
        // A text is here a list of files rather than a server's message.
        if let known = ForeignFormat(beginning: head), known != .text { return known.name }
        if has("ftyp", at: 4) { return isPictureName("x.\(suffix)") ? "a picture" : "a video" }
        if suffix == "tar" { return "a tar archive" }
        if has("PK", at: 0) { return zip(head, suffix) }
        if isPictureName("x.\(suffix)") { return "a picture" }
        let isText = !head.isEmpty && head.allSatisfy { $0 >= 0x20 || [0x09, 0x0A, 0x0D].contains($0) }
        return isText ? "a text file" : nil
    }

    /// A zip whose first member is a picture or lies in a folder, as arrays do not.
    private static func zip(_ head: [UInt8], _ suffix: String) -> String? {
        guard head.count >= 30 else { return nil }
        let name = String(decoding: head.dropFirst(30).prefix(Int(head[26]) | Int(head[27]) << 8), as: UTF8.self)
        guard !name.lowercased().hasSuffix(".npy") else { return nil }
        if isPictureName(name) { return "a zip archive of pictures" }
        return suffix == "npz" ? nil : "a zip archive"
    }
}
