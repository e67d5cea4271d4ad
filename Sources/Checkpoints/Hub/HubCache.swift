import SystemPackage
import TensorCore

/// The folder where huggingface_hub keeps what it has downloaded. It is only read.
///
///     models--organisation--name/
///       blobs/HASH           the files' contents; HASH.incomplete while a download lasts
///       refs/main            the commit that a branch or tag stands for, as text
///       snapshots/COMMIT/    the files by their names, as links to blobs
public struct HubCache: Hashable, Sendable {
    public let folder: FilePath

    public init(_ folder: FilePath) { self.folder = folder }

    /// What the cache has of a model.
    enum Finding: Hashable {
        case snapshot(HubSnapshot)
        /// The model is not in the cache at all.
        case noModel
        /// What is known of the model, and not the revision; why.
        case noRevision(String)
    }

    /// Where the cache has a model.
    func folder(of name: HubName) -> FilePath { folder.appending(name.folderName) }

    /// Finds the files of a revision as huggingface_hub does: the whole hash of a commit is a folder of `snapshots`; anything else
    /// is a branch, a tag or `refs/pr/N`, whose commit stands in `refs`. Besides, the beginning of a commit may be written.
    ///
    /// - Parameter revision: nil is `main`.
    func find(_ name: HubName, revision: String?) -> Finding {
        let model = folder(of: name)
        guard folderExists(model) else { return .noModel }
        let wanted = revision ?? "main"
        let parts = FilePath(wanted)
        guard Self.isRevision(wanted) else {
            return .noRevision("\"\(wanted.escapingControlCharacters)\" is no revision")
        }
        func snapshot(_ commit: String) -> Finding? {
            let snapshot = HubSnapshot(cache: self, name: name, commit: commit)
            return folderExists(snapshot.folder) ? .snapshot(snapshot) : nil
        }
        if Self.isCommit(wanted), let found = snapshot(wanted) { return found }
        if let commit = commit(of: parts, in: model) {
            return snapshot(commit)
                ?? .noRevision("its \(wanted) is the commit \(commit), of which the cache has no files")
        }
        if let component = FilePath.Component(wanted), component.string == wanted, let found = snapshot(wanted) {
            return found
        }
        let commits = (try? entries(of: model.appending("snapshots"))) ?? []
        let matching = commits.filter { Self.isHexadecimal(wanted) && $0.hasPrefix(wanted) }
        if matching.count == 1, let found = snapshot(matching[0]) { return found }
        if matching.count > 1 {
            return .noRevision("\(wanted) begins \(matching.count) of its commits: \(Self.list(matching))")
        }
        guard !commits.isEmpty else { return .noRevision("none of its files have been downloaded") }
        let names = ((try? entries(of: model.appending("refs"))) ?? []).filter {
            commit(of: FilePath($0), in: model) != nil
        }
        return .noRevision("it has no \(wanted), but \(Self.list(names + commits))".escapingControlCharacters)
    }

    private static func list(_ names: [String]) -> String {
        names.prefix(4).joined(separator: ", ") + (names.count > 4 ? ", ..." : "")
    }

    /// Whether a text can be a revision. It becomes part of a path: one that leads elsewhere is none.
    static func isRevision(_ text: String) -> Bool {
        let parts = FilePath(text)
        return !parts.isAbsolute && !parts.isEmpty && parts.components.allSatisfy { $0.kind == .regular }
    }

    /// The commit that a branch or tag stands for.
    private func commit(of revision: FilePath, in model: FilePath) -> String? {
        guard let file = try? MappedFile(model.appending("refs").pushing(revision)) else { return nil }
        let text = file.withUnsafeBytes { String(decoding: $0.prefix(100), as: UTF8.self) }
        return text.split(whereSeparator: \.isWhitespace).first.map(String.init).flatMap { commit in
            FilePath.Component(commit)?.kind == .regular ? commit : nil
        }
    }

    private static func isCommit(_ text: String) -> Bool { text.utf8.count == 40 && isHexadecimal(text) }

    private static func isHexadecimal(_ text: String) -> Bool {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }

    /// The command that downloads a revision of a model.
    ///
    /// - Parameter files: what is wanted of it; none stands for all.
    func command(toFetch name: HubName, revision: String?, files: [String] = []) -> String {
        var words = ["hf", "download", name.description]
        if let revision { words += ["--revision", revision] }
        words += files.flatMap { ["--include", $0] }
        if self != .standard { words += ["--cache-dir", folder.string] }
        return words.map(\.quotedForShell).joined(separator: " ")
    }
}
