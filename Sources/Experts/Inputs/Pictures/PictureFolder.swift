import Checkpoints
import Glibc
import SystemPackage
import TensorCore

/// The pictures below a folder, by the endings of their names.
struct PictureFolder {
    /// Sorted by name, in which numbers count as numbers: 2.png is before 10.png.
    private(set) var entries: [PictureCollection.Entry] = []
    /// Archives that lie in the folder itself.
    private(set) var archives: [FilePath] = []

    /// Looks through a folder and those below it; hidden ones are left out, and links are followed.
    ///
    /// - Throws: `IOError` when a folder cannot be read.
    init(_ path: FilePath) throws(IOError) {
        var seen: Set<FileStatus.Identity> = []
        try look(in: path, name: "", depth: 0, &seen)
        entries.sort { isBefore($0.name, $1.name) }
        archives.sort { isBefore($0.string, $1.string) }
    }

    /// Names, sizes and times of change of all pictures: two folders with the same have the same pictures.
    static func listing(of path: FilePath) -> String {
        guard let folder = try? PictureFolder(path) else { return "" }
        let files = folder.entries.isEmpty ? folder.archives : folder.entries.map { path.appending($0.name) }
        let digest = TensorDigest.Accumulator()
        for file in files {
            guard let status = FileStatus(of: file) else { continue }
            var line =
                "\(file.string.dropFirst(path.string.count)) \(status.byteCount) \(status.modified.tv_sec).\(status.modified.tv_nsec)\n"
            line.withUTF8 { digest.update(UnsafeRawBufferPointer($0)) }
        }
        return "\(files.count) files \(digest.finish().hexadecimal)"
    }

    /// How deep folders may lie in one another.
    private static let depthLimit = 32

    /// Looks into a folder unless it was seen by another name.
    private mutating func look(
        in folder: FilePath, name: String, depth: Int, _ seen: inout Set<FileStatus.Identity>
    ) throws(IOError) {
        guard let own = FileStatus(of: folder), depth < Self.depthLimit, seen.insert(own.identity).inserted else {
            return
        }
        for entry in try Checkpoints.entries(of: folder) {
            let path = folder.appending(entry)
            guard let status = FileStatus(of: path) else { continue }
            let full = name.isEmpty ? entry : "\(name)/\(entry)"
            if status.isFolder {
                try look(in: path, name: full, depth: depth + 1, &seen)
            } else if status.kind == S_IFREG, isPictureName(entry) {
                entries.append(PictureCollection.Entry(name: full, place: .file(path)))
            } else if status.kind == S_IFREG, depth == 0, isArchiveName(entry) {
                archives.append(path)
            }
        }
    }
}

/// Whether a file is named like a picture, also of the kinds that are not decoded.
func isPictureName(_ name: String) -> Bool { pictureEndings.contains(FilePath(name).extension?.lowercased() ?? "") }

/// Whether a file is named like an archive that is read.
func isArchiveName(_ name: String) -> Bool {
    let name = name.lowercased()
    return [".tar", ".zip", ".tgz", ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2"].contains { name.hasSuffix($0) }
}

private let pictureEndings: Set<String> = [
    "png", "jpg", "jpeg", "gif", "bmp", "webp", "tif", "tiff", "heic", "avif", "ppm", "pgm",
]

/// The order of names, folder by folder, in which a run of digits counts as the number that it is.
package func isBefore(_ a: String, _ b: String) -> Bool {
    let (a, b) = (Array(a.utf8), Array(b.utf8))
    var (i, j) = (0, 0)
    func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
    /// The digits from a place on without zeros in front, and where they end.
    func number(_ text: [UInt8], _ start: Int) -> (digits: ArraySlice<UInt8>, end: Int) {
        let end = text[start...].firstIndex { !isDigit($0) } ?? text.count
        let first = text[start..<end].firstIndex { $0 != UInt8(ascii: "0") } ?? end
        return (text[first..<end], end)
    }
    while i < a.count, j < b.count {
        if isDigit(a[i]), isDigit(b[j]) {
            let (first, second) = (number(a, i), number(b, j))
            if first.digits.count != second.digits.count { return first.digits.count < second.digits.count }
            if !first.digits.elementsEqual(second.digits) {
                return first.digits.lexicographicallyPrecedes(second.digits)
            }
            (i, j) = (first.end, second.end)
        } else {
            // A folder's contents come before what its name is the beginning of.
            let (x, y) = (a[i] == UInt8(ascii: "/") ? 0 : a[i], b[j] == UInt8(ascii: "/") ? 0 : b[j])
            if x != y { return x < y }
            (i, j) = (i + 1, j + 1)
        }
    }
    if a.count - i != b.count - j { return a.count - i < b.count - j }
    return a.lexicographicallyPrecedes(b)
}
