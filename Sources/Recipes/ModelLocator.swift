import Checkpoints
import SystemPackage
import TensorCore

/// Finds the models of a recipe: nothing is ever downloaded.
///
/// A name is looked for, in this order, as the result of another document, as a path, and for `organisation/name` in a folder of
/// models as `organisation/name`, as `name`, and as `models--organisation--name/snapshots/...`, the cache of the Hugging Face hub.
public struct ModelLocator: Sendable {
    /// A folder of models, or of the hub's cache.
    public var modelsFolder: FilePath?
    /// Where the results of the file's other documents are, by name.
    public var merges: [String: FilePath]

    public init(modelsFolder: FilePath? = nil, merges: [String: FilePath] = [:]) {
        self.modelsFolder = modelsFolder
        self.merges = merges
    }

    /// The recipe with every model found.
    ///
    /// - Throws: `io.not_found` with all models that are nowhere, and all places that were looked at for the first of them;
    ///   `recipe.unsupported` for a model with an adapter.
    public func locate(_ recipe: Recipe) throws(RecipeError) -> Recipe { try locate([recipe])[0] }

    /// The recipes of one file, with every model found.
    func locate(_ recipes: [Recipe]) throws(RecipeError) -> [Recipe] {
        var missing: [MissingModel] = []
        var located: [Recipe] = []
        for recipe in recipes { located.append(try locate(recipe, &missing)) }
        if let error = MissingModel.error(missing) { throw error }
        return located
    }

    private func locate(_ recipe: Recipe, _ missing: inout [MissingModel]) throws(RecipeError) -> Recipe {
        var recipe = recipe
        for place in recipe.models.indices {
            // A model that is nowhere stays where it is and is noted.
            switch try path(of: recipe.models[place].reference, in: recipe.path) {
            case .found(let path): recipe.models[place].reference.path = path
            case .missing(let model): missing.append(model)
            }
        }
        return recipe
    }

    /// Where a model is that the command line names, which counts paths from the current folder.
    ///
    /// - Throws: as `locate`.
    public func path(ofArgument text: String) throws(RecipeError) -> FilePath {
        let path = FilePath(text)
        if fileExists(path) { return path }
        switch try self.path(of: ModelReference(text, at: nil, file: ""), in: "") {
        case .found(let found): return found
        case .missing(let model):
            throw RecipeError(
                notFound: "\(text) \(model.problem)".escapingControlCharacters, file: path, at: nil,
                hint: "nothing is downloaded; paths count from the current folder")
        }
    }

    private func path(of reference: ModelReference, in recipe: FilePath) throws(RecipeError) -> Place {
        if let merge = merges[reference.id] { return .found(merge) }
        var tried: [FilePath] = []
        func find(_ candidate: FilePath) -> Bool {
            if !tried.contains(candidate) { tried.append(candidate) }
            return fileExists(candidate)
        }
        if find(reference.path) { return .found(reference.path) }
        // A folder that was downloaded by hand does not tell its revision.
        let plain = FilePath(reference.id).relative(toFolderOf: recipe)
        if find(plain) { return .found(plain) }
        if reference.text.contains("+") {
            throw RecipeError.adapter(of: reference.text, file: recipe, at: reference.position)
        }
        let id = FilePath(reference.id)
        let isHubName = !id.isAbsolute && (1...2).contains(id.components.count)
        if let modelsFolder, isHubName {
            let folders = [modelsFolder.pushing(id), id.lastComponent.map { modelsFolder.appending($0) }]
            for folder in folders.compactMap({ $0 }) where find(folder) { return .found(folder) }
            let cache = modelsFolder.appending(
                "models--" + id.components.map(\.string).joined(separator: "--"))
            if find(cache) {
                if let snapshot = HubCache(folder: cache).snapshot(of: reference.revision) { return .found(snapshot) }
                return notFound(
                    reference, "has no snapshot of \(reference.revision ?? "main") in \(cache)", recipe)
            }
        }
        return notFound(
            reference, "is not there: looked for \(tried.map(\.string).joined(separator: ", "))", recipe,
            isHubName: isHubName)
    }

    private func notFound(
        _ reference: ModelReference, _ problem: String, _ recipe: FilePath, isHubName: Bool = true
    ) -> Place {
        let hint =
            isHubName && modelsFolder == nil
            ? "paths count from the recipe; for models of the hub say with --models-dir where they were downloaded to"
            : "nothing is downloaded; paths count from the folder of the recipe"
        return .missing(MissingModel(reference: reference, recipe: recipe, problem: problem, hint: hint))
    }

    private enum Place {
        case found(FilePath)
        case missing(MissingModel)
    }
}

/// A model that is nowhere.
private struct MissingModel {
    let reference: ModelReference
    let recipe: FilePath
    let problem: String
    let hint: String

    /// One error about all of them, each named once; nil when there are none.
    static func error(_ models: [MissingModel]) -> RecipeError? {
        guard let first = models.first else { return nil }
        var seen: Set<String> = [first.reference.text]
        let others = models.filter { seen.insert($0.reference.text).inserted }.map { model in
            model.reference.text + (model.reference.position.map { " (line \($0.line))" } ?? "")
        }
        let rest = others.isEmpty ? "" : "; not there either: \(others.joined(separator: ", "))"
        return RecipeError(
            notFound: "the model \(first.reference.text) \(first.problem)\(rest)".escapingControlCharacters,
            file: first.recipe, at: first.reference.position, hint: first.hint)
    }
}

/// A model in the cache of the Hugging Face hub.
///
///     models--organisation--name/
///       refs/main            the commit that a branch or tag stands for, as text
///       snapshots/COMMIT/    the files
private struct HubCache {
    let folder: FilePath

    /// The folder of a branch, a tag or a commit; without either that of `main`, or the only one.
    func snapshot(of revision: String?) -> FilePath? {
        let snapshots = folder.appending("snapshots")
        // A revision becomes part of a path: one that leads elsewhere is no revision.
        let parts = FilePath(revision ?? "main")
        guard !parts.isAbsolute, !parts.isEmpty, parts.components.allSatisfy({ $0.kind == .regular }) else {
            return nil
        }
        if let commit = commit(of: parts) {
            let snapshot = snapshots.appending(commit)
            if fileExists(snapshot) { return snapshot }
        }
        let all = names(in: snapshots)
        guard let revision else { return all.count == 1 ? snapshots.appending(all[0]) : nil }
        let matching = all.filter { $0.hasPrefix(revision) }
        return matching.count == 1 ? snapshots.appending(matching[0]) : nil
    }

    private func commit(of revision: FilePath) -> String? {
        guard let file = try? MappedFile(folder.appending("refs").pushing(revision)) else { return nil }
        let text = file.withUnsafeBytes { String(decoding: $0.prefix(100), as: UTF8.self) }
        return text.split(whereSeparator: \.isWhitespace).first.map(String.init).flatMap {
            FilePath.Component($0)?.kind == .regular ? $0 : nil
        }
    }

    private func names(in folder: FilePath) -> [String] { (try? entries(of: folder)) ?? [] }
}
