import SystemPackage
import TensorCore

/// What a person may write where a checkpoint is wanted: a file, an index of shards, a folder, or `organisation/name[@revision]` for a
/// model in the hub's cache; and any of them with adapters that are to be folded into it, `BASE+ADAPTER`. A path that exists goes first.
///
/// Nothing is ever downloaded. What a source stands for is a path like any other, so that all that lies beside the weights is found.
public struct CheckpointSource: Hashable, Sendable {
    /// As it was written.
    public let text: String
    /// The part of the text that names the model, and the revision behind it.
    public let name: String
    public let revision: String?
    /// The folder inside the one of the model that holds the checkpoint, such as `unet` of a diffusers pipeline. Files have none.
    public var subfolder: FilePath?

    /// Reads the name of a sub-folder; nil for a path that leads out of the folder of the model, or is none.
    public static func subfolder(_ name: String) -> FilePath? {
        let path = FilePath(name)
        guard !path.isEmpty, path.isRelative, path.components.allSatisfy({ $0.kind == .regular }),
            !name.unicodeScalars.contains("\0")
        else { return nil }
        return path
    }

    /// Reads a text; what follows the first `@` is a revision.
    public init(_ text: String) {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        self.init(text, name: parts[0], revision: parts.count == 2 && !parts[1].isEmpty ? parts[1] : nil)
    }

    /// Takes a name and a revision that were written apart.
    public init(name: String, revision: String?) { self.init(name, name: name, revision: revision) }

    private init(_ text: String, name: String, revision: String?) {
        (self.text, self.name, self.revision) = (text, name, revision)
    }

    /// The same with an adapter.
    public func adding(_ adapter: CheckpointSource) -> CheckpointSource {
        var both = CheckpointSource("\(fullText)+\(adapter.fullText)")
        both.subfolder = subfolder
        return both
    }

    /// The text with the revision, also where that was written apart.
    private var fullText: String { text == name ? text + (revision.map { "@\($0)" } ?? "") : text }

    /// The name on the hub; nil when the text can only be a path.
    public var hubName: HubName? { HubName(name) }

    /// Where models are looked for that are called by their names on the hub.
    public struct Places: Sendable {
        /// A folder of models as `organisation/name` or `name`, or a cache of the hub.
        public var modelsFolder: FilePath?
        public var cache: HubCache

        public init(modelsFolder: FilePath? = nil, cache: HubCache = .standard) {
            self.modelsFolder = modelsFolder
            self.cache = cache
        }
    }

    /// What looking for a source found.
    public enum Finding: Sendable, Hashable {
        case found(FilePath)
        /// That it is nowhere, said of the source, and what can be done.
        case missing(problem: String, hint: String)
    }

    /// Looks for the checkpoint: as a path, then in the folder of models, then in the hub's cache.
    ///
    /// A folder with the name and without the revision counts, too: one that was downloaded by hand does not tell its revision.
    /// Of a folder that is found the sub-folder counts, where one is asked for.
    ///
    /// - Parameter folder: what relative paths count from; empty is the current folder.
    public func find(from folder: FilePath = "", in places: Places) -> Finding {
        let whole = findWhole(from: folder, in: places)
        if case .found = whole { return whole }
        return findParts(from: folder, in: places) ?? whole
    }

    /// Looks for a base and an adapter, the last one first.
    ///
    /// - Returns: nil when neither is anywhere; of one that is missing alone, that.
    private func findParts(from folder: FilePath, in places: Places) -> Finding? {
        var missing: Finding?
        for split in text.plusSplits {
            let adapter = CheckpointSource(split.last)
            var base = CheckpointSource(split.first)
            base.subfolder = subfolder
            switch (base.find(from: folder, in: places), adapter.findWhole(from: folder, in: places)) {
            case (.found(let base), .found(let adapter)): return .found(AdaptedPath.joining(base, adapter))
            case (.found, .missing(let problem, let hint)):
                missing =
                    missing
                    ?? .missing(problem: "is a model with an adapter, and \(adapter.text) \(problem)", hint: hint)
            case (.missing(let problem, let hint), .found):
                missing =
                    missing ?? .missing(problem: "is a model with an adapter, and \(base.text) \(problem)", hint: hint)
            case (.missing, .missing): break
            }
        }
        return missing
    }

    /// Looks for a model without an adapter, and for the sub-folder in it.
    private func findWhole(from folder: FilePath, in places: Places) -> Finding {
        let finding = findModel(from: folder, in: places)
        guard let subfolder, case .found(let model) = finding, folderExists(model) else { return finding }
        let path = model.pushing(subfolder)
        if folderExists(path) { return .found(path) }
        let snapshot = HubSnapshot(containing: model)
        let others = CheckpointFolder.subfolders(of: model).map(\.string.escapingControlCharacters)
        return .missing(
            problem: "has no sub-folder \(subfolder)" + (snapshot?.unfinished ?? ""),
            hint: !others.isEmpty
                ? "those that hold checkpoints: \(others.joined(separator: ", "))"
                : snapshot.map { "to download it: \($0.command(toFetch: ["\(subfolder)/*"]))" }
                    ?? "no sub-folder holds a checkpoint")
    }

    private func findModel(from folder: FilePath, in places: Places) -> Finding {
        var tried: [FilePath] = []
        func isThere(_ candidate: FilePath) -> Bool {
            if !tried.contains(candidate) { tried.append(candidate) }
            return fileExists(candidate)
        }
        if isThere(folder.pushing(FilePath(text))) { return .found(folder.pushing(FilePath(text))) }
        if let revision, !HubCache.isRevision(revision) {
            return .missing(
                problem: "is not there as a path, and \"\(revision)\" is no revision",
                hint: "behind the @ of organisation/name@revision stands a branch, a tag, refs/pr/N or a commit")
        }
        if isThere(folder.pushing(FilePath(name))) { return .found(folder.pushing(FilePath(name))) }
        if let models = places.modelsFolder {
            let parts = FilePath(name).components
            if FilePath(name).root == nil, parts.count <= 2, parts.allSatisfy({ $0.kind == .regular }) {
                let candidates = [models.appending(parts), models.appending(parts.suffix(1))]
                for candidate in candidates where isThere(candidate) { return .found(candidate) }
            }
        }
        guard let hubName else { return missing(tried, hint: "nothing is downloaded") }
        var problem: String?
        for cache in (places.modelsFolder.map { [HubCache($0)] } ?? []) + [places.cache] {
            tried.append(cache.folder(of: hubName))
            switch cache.find(hubName, revision: revision) {
            case .snapshot(let snapshot): return .found(snapshot.folder)
            case .noModel: break
            case .noRevision(let reason): problem = problem ?? "is not in the hub's cache \(cache.folder): \(reason)"
            }
        }
        let hint =
            "nothing is downloaded"
            + (isCalledLikeAFile
                ? "" : " here; to download it: \(places.cache.command(toFetch: hubName, revision: revision))")
        guard let problem else { return missing(tried, hint: hint) }
        return .missing(problem: problem, hint: hint)
    }

    private func missing(_ tried: [FilePath], hint: String) -> Finding {
        .missing(problem: "is not there: looked for \(tried.map(\.string).joined(separator: ", "))", hint: hint)
    }

    /// Looks for the checkpoint as `find` does, from the current folder.
    ///
    /// - Returns: of what is nowhere and is called like a file the path, whose opening says that there is nothing.
    /// - Throws: `IOError` `io.not_found` for a model that is nowhere, or has no such sub-folder.
    public func path(in places: Places = Places()) throws(IOError) -> FilePath {
        let whole = findWhole(from: "", in: places)
        if case .found(let path) = whole { return path }
        let parts = findParts(from: "", in: places)
        switch parts ?? whole {
        case .found(let path): return path
        case .missing(let problem, let hint):
            let isSure = parts != nil || subfolder != nil
            guard isSure || hubName != nil && !isCalledLikeAFile else { return FilePath(text) }
            throw IOError(
                kind: .notFound, message: "\(text) \(problem)".escapingControlCharacters, file: text, hint: hint)
        }
    }

    private var isCalledLikeAFile: Bool {
        let path = FilePath(text)
        return CheckpointFormat.named(path) != nil || path.isShardIndex || ForeignFormat(ofFileNamed: text) != nil
    }
}
