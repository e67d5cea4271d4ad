import Checkpoints
import Glibc
import ModelFolders
import SystemPackage
import TensorCore

/// What a path to data leads to: arrays, pictures or texts.
package enum DataSource {
    /// A checkpoint with `images` or `input_ids`, or what is none of all.
    case arrays
    /// A folder of pictures, or archives of them.
    case pictures
    case texts(TextFile.Format)

    /// Looks at names and first bytes.
    package init(at path: FilePath) {
        if folderExists(path) {
            self = !Self.hasPictures(path) && Self.isCheckpoint(path) ? .arrays : .pictures
        } else if isArchiveName(path.string) || isPlainTar(path) {
            // NumPy's arrays are zip archives under any name.
            self = Self.isCheckpoint(path) ? .arrays : .pictures
        } else {
            let format: TextFile.Format? =
                switch path.extension?.lowercased() {
                case "txt", "text": .plain
                case "tsv": .table
                case "jsonl", "ndjson": .json
                default: nil
                }
            self = format.map { .texts($0) } ?? .arrays
        }
    }

    private static func isCheckpoint(_ path: FilePath) -> Bool { (try? TensorStore(opening: path)) != nil }

    /// Whether there is a picture or an archive of them somewhere below a folder.
    private static func hasPictures(_ folder: FilePath) -> Bool {
        var seen: Set<FileStatus.Identity> = []
        return hasPictures(folder, isTop: true, &seen)
    }

    /// Looks into a folder unless it was seen by another name.
    private static func hasPictures(_ folder: FilePath, isTop: Bool, _ seen: inout Set<FileStatus.Identity>) -> Bool {
        guard let own = FileStatus(of: folder), seen.insert(own.identity).inserted else { return false }
        if ModelFolder.names(in: folder).contains(where: { isPictureName($0) || isTop && isArchiveName($0) }) {
            return true
        }
        for name in ModelFolder.names(in: folder, kind: S_IFDIR) {
            if hasPictures(folder.appending(name), isTop: false, &seen) { return true }
        }
        return false
    }
}

/// Whether a file is a tar archive, whatever it is called.
private func isPlainTar(_ path: FilePath) -> Bool {
    guard let file = try? MappedFile(path) else { return false }
    return file.withUnsafeBytes { ForeignFormat(beginning: Array($0.prefix(512))) } == .tar
}
