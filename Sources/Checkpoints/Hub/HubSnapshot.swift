import Glibc
import SystemPackage
import TensorCore

/// The files of one commit of a model in the hub's cache.
public struct HubSnapshot: Hashable, Sendable {
    public let cache: HubCache
    public let name: HubName
    public let commit: String

    init(cache: HubCache, name: HubName, commit: String) {
        self.cache = cache
        self.name = name
        self.commit = commit
    }

    /// The snapshot that a path lies in or is: `.../models--organisation--name/snapshots/COMMIT/...`; nil for other paths.
    public init?(containing path: FilePath) {
        let components = Array(path.components)
        for place in components.indices.dropLast(2).reversed() where components[place + 1] == "snapshots" {
            guard let name = HubName(folderName: components[place].string) else { continue }
            let folder = FilePath(root: path.root, components[..<place])
            self.init(cache: HubCache(folder), name: name, commit: components[place + 2].string)
            return
        }
        return nil
    }

    public var folder: FilePath { model.appending("snapshots").appending(commit) }

    private var model: FilePath { cache.folder(of: name) }

    /// The model and its commit as a person may write them.
    public var reference: String { "\(name)@\(commit)" }

    /// The command that downloads the snapshot.
    ///
    /// - Parameter files: those that are missing, as paths in the snapshot; all when there are none or many.
    func command(toFetch files: [String] = []) -> String {
        cache.command(toFetch: name, revision: commit, files: files.count > 5 ? [] : files)
    }

    /// What a file in the snapshot is called there.
    private func name(of file: FilePath) -> String {
        var name = file
        return name.removePrefix(folder) ? name.string : file.lastComponent?.string ?? ""
    }

    /// What downloads have left unfinished, in words that go behind what is missing; empty when there is nothing.
    var unfinished: String {
        let blobs = model.appending("blobs")
        let names = ((try? entries(of: blobs)) ?? []).filter { $0.hasSuffix(".incomplete") }
        guard let first = names.first else { return "" }
        let file = blobs.appending(first)
        let more = names.count > 1 ? " and \(names.count - 1) more" : ""
        return "; a download was not finished: \(file.string) has \(fileByteCount(file)) bytes\(more)"
    }

    /// Makes sure that a file of the cache is more than a link to contents that are not there.
    ///
    /// - Throws: `IOError` `io.not_found` that names both, and the command that downloads the file.
    static func requireContents(of file: FilePath) throws(IOError) {
        guard FileStatus(of: file) == nil, let link = FileStatus(of: file, followsLinks: false), link.kind == S_IFLNK,
            let snapshot = HubSnapshot(containing: file)
        else { return }
        let blob = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { target in
            let count = readlink(file.string, target.baseAddress!, target.count)
            return String(decoding: UnsafeRawBufferPointer(target).prefix(max(0, count)), as: UTF8.self)
        }
        throw IOError(
            kind: .notFound,
            message: "\(file.string) is a link to \(blob.escapingControlCharacters), which is not there"
                + snapshot.unfinished, file: file.string,
            hint: "the hub's cache is incomplete: \(snapshot.command(toFetch: [snapshot.name(of: file)]))")
    }
}
