import Checkpoints
import SystemPackage
import TensorCore

/// Encoded pictures in a folder or in archives, in the order of their names, and their classes where names tell them.
struct PictureCollection: Sendable {
    /// One file or member that is named like a picture.
    struct Entry: Sendable {
        /// The path below the folder, or in the archive.
        let name: String
        let place: Place
        /// What its `.cls` says.
        var classText: String?
    }

    /// Where the bytes of a picture are.
    enum Place: Sendable {
        case file(FilePath)
        case member(PictureArchive, PictureArchive.Content)
        /// Nowhere that is read, and why.
        case refused(String)
    }

    let path: FilePath
    /// The archives that were read; none for a folder of files.
    let archives: [FilePath]
    private(set) var entries: [Entry]
    /// The class of each picture, as texts; nil where names do not tell one for every picture.
    let classes: [String]?

    /// Looks through a folder of pictures, a folder of archives, or an archive.
    ///
    /// - Parameter heldByteCount: what members of compressed archives may take in memory.
    /// - Throws: `input.missing_data` when there is no picture, `input.bad_archive`, `IOError`.
    init(at path: FilePath, heldByteCount: Int) throws {
        self.path = path
        guard folderExists(path) else {
            archives = [path]
            let archive = try PictureArchive(path, heldByteCount: heldByteCount)
            entries = archive.entries
            classes = try Self.classes(of: entries, in: path)
            guard !entries.isEmpty else { throw Self.none(in: "the archive \(path.string) holds no pictures", path) }
            return
        }
        let folder = try PictureFolder(path)
        archives = folder.entries.isEmpty ? folder.archives : []
        if folder.entries.isEmpty {
            var room = heldByteCount
            var found: [Entry] = []
            for path in folder.archives {
                let archive = try PictureArchive(path, heldByteCount: room)
                room -= archive.heldByteCount
                found += archive.entries
            }
            entries = found
        } else {
            entries = folder.entries
        }
        guard !entries.isEmpty else {
            throw Self.none(in: "the folder \(path.string) holds no pictures and no archives of them", path)
        }
        classes = try Self.classes(of: entries, in: path)
    }

    private static func none(in message: String, _ path: FilePath) -> InputError {
        InputError(
            .missingData, message, file: path,
            hint: "JPEG, PNG and WebP are read, by their endings, also in folders below and in .tar and .zip files")
    }

    /// Only the first so many.
    func prefix(_ count: Int) -> PictureCollection {
        var first = self
        first.entries = Array(entries.prefix(count))
        return first
    }

    /// Lends the encoded bytes of a picture.
    ///
    /// - Throws: `input.bad_archive` for a member that is not read; `IOError`; what the function throws.
    func withBytes<Result>(of entry: Entry, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        switch entry.place {
        case .file(let path): try MappedFile(path).withUnsafeBytes(body)
        case .member(let archive, let content): try archive.withBytes(content, body)
        case .refused(let reason): throw InputError(.badArchive, "\(label(of: entry)) \(reason)", file: path)
        }
    }

    /// What a picture is called in messages.
    func label(of entry: Entry) -> String {
        let name = entry.name.escapingControlCharacters
        return switch entry.place {
        case .file(let path): path.string
        case .member(let archive, _): "\(name) in \(archive.path.string)"
        case .refused: "\(name) in \(path.string)"
        }
    }

    /// Classes from `.cls` members, or else from folders, one for each class.
    private static func classes(of entries: [Entry], in path: FilePath) throws(InputError) -> [String]? {
        if let known = entries.first(where: { $0.classText != nil }) {
            if let without = entries.first(where: { $0.classText == nil }) {
                throw InputError(
                    .badArchive,
                    "\(path.string) has a class for \(known.name.escapingControlCharacters) and none for "
                        + without.name.escapingControlCharacters, file: path,
                    hint: "every picture needs a .cls of its name, or none")
            }
            return entries.compactMap(\.classText)
        }
        let folders = entries.map { FilePath($0.name).components.dropLast().map(\.string) }
        // What all pictures lie in tells nothing.
        var depth = 0
        while let name = folders.first?.dropFirst(depth).first,
            folders.allSatisfy({ $0.count > depth && $0[depth] == name })
        { depth += 1 }
        guard folders.allSatisfy({ $0.count > depth }) else { return nil }
        return folders.map { $0[depth] }
    }
}
