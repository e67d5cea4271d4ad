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
    private static func hasPictures(_ folder: FilePath, depth: Int = 0) -> Bool {
        if ModelFolder.names(in: folder).contains(where: { isPictureName($0) || depth == 0 && isArchiveName($0) }) {
            return true
        }
        return depth < 8
            && ModelFolder.names(in: folder, kind: S_IFDIR).contains {
                hasPictures(folder.appending($0), depth: depth + 1)
            }
    }
}

/// Whether a file is a tar archive, whatever it is called.
private func isPlainTar(_ path: FilePath) -> Bool {
    guard let file = try? MappedFile(path) else { return false }
    return file.withUnsafeBytes { ForeignFormat(beginning: Array($0.prefix(512))) } == .tar
}
