import Checkpoints
import Glibc
import ModelFolders
import SystemPackage
import TensorCore

/// What people keep images in that is no checkpoint: folders of pictures, pictures, archives, lists.
struct ForeignData {
    /// What it is, to follow "is".
    let text: String

    /// What may be done about any of them.
    static let hint =
        "data has to be an .npz with \"images\" [N, C, H, W] or \"input_ids\" [N, T]; \"Data of your own\" in docs/interference.md makes "
        + "one"

    /// Looks at a path by its content; nil when nothing is recognised.
    init?(at path: FilePath) {
        guard let text = folderExists(path) ? Self.folder(path) : Self.file(path) else { return nil }
        self.text = text
    }

    private static let pictures: Set<String> = [
        "png", "jpg", "jpeg", "gif", "bmp", "webp", "tif", "tiff", "heic", "avif", "ppm", "pgm",
    ]

    private static func isPicture(_ name: String) -> Bool {
        pictures.contains(FilePath(name).extension?.lowercased() ?? "")
    }

    private static func folder(_ path: FilePath) -> String? {
        let count = ModelFolder.names(in: path).count(where: isPicture)
        if count > 0 { return "a folder of \(count == 1 ? "1 picture" : "\(count) pictures")" }
        // One folder for each class, as torchvision's ImageFolder has it.
        let folders = ModelFolder.names(in: path, kind: S_IFDIR)
        let isOfClasses = folders.contains { ModelFolder.names(in: path.appending($0)).contains(where: isPicture) }
        return isOfClasses ? "a folder of folders of pictures" : nil
    }

    private static func file(_ path: FilePath) -> String? {
        let suffix = path.extension?.lowercased() ?? ""
        guard let file = try? MappedFile(path) else { return nil }
        let head = file.withUnsafeBytes { Array($0.prefix(512)) }
        func has(_ text: String, at offset: Int) -> Bool { head.dropFirst(offset).starts(with: text.utf8) }
        // A text is here a list of files rather than a server's message.
        if let known = ForeignFormat(beginning: head), known != .text { return known.name }
        if has("ftyp", at: 4) { return isPicture("x.\(suffix)") ? "a picture" : "a video" }
        if suffix == "tar" { return "a tar archive" }
        if has("PK", at: 0) { return zip(head, suffix) }
        if pictures.contains(suffix) { return "a picture" }
        let isText = !head.isEmpty && head.allSatisfy { $0 >= 0x20 || [0x09, 0x0A, 0x0D].contains($0) }
        return isText ? "a text file" : nil
    }

    /// A zip whose first member is a picture or lies in a folder, as arrays do not.
    private static func zip(_ head: [UInt8], _ suffix: String) -> String? {
        guard head.count >= 30 else { return nil }
        let name = String(decoding: head.dropFirst(30).prefix(Int(head[26]) | Int(head[27]) << 8), as: UTF8.self)
        guard !name.lowercased().hasSuffix(".npy") else { return nil }
        if isPicture(name) { return "a zip archive of pictures" }
        return suffix == "npz" ? nil : "a zip archive"
    }
}
