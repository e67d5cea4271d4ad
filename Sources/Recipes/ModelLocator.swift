import Checkpoints
import SystemPackage
import TensorCore

/// Finds the models of a recipe: nothing is ever downloaded.
///
/// A name is looked for as the result of another document, and then as `CheckpointSource` says.
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
    /// - Throws: `io.not_found` with all models that are nowhere, and all places that were looked at for the first of them.
    public func locate(_ recipe: Recipe) throws(RecipeError) -> Recipe { try locate([recipe])[0] }

    /// The recipes of one file, with every model found.
    func locate(_ recipes: [Recipe]) throws(RecipeError) -> [Recipe] {
        var missing: [MissingModel] = []
        var located: [Recipe] = []
        for recipe in recipes { located.append(locate(recipe, &missing)) }
        if let error = MissingModel.error(missing) { throw error }
        return located
    }

    private func locate(_ recipe: Recipe, _ missing: inout [MissingModel]) -> Recipe {
        var recipe = recipe
        for place in recipe.models.indices {
            // A model that is nowhere stays where it is and is noted.
            switch path(of: recipe.models[place].reference, in: recipe.path) {
            case .found(let path): recipe.models[place].reference.path = path
            case .missing(let model): missing.append(model)
            }
        }
        return recipe
    }

    private func path(of reference: ModelReference, in recipe: FilePath) -> Place {
        if let merge = merges[reference.id] { return .found(merge) }
        let places = CheckpointSource.Places(modelsFolder: modelsFolder)
        switch reference.source.find(from: recipe.removingLastComponent(), in: places) {
        case .found(let path): return .found(AdaptedPath.map(path) { $0.lexicallyNormalized() })
        case .missing(let problem, let hint):
            let folder =
                reference.source.hubName != nil && modelsFolder == nil ? "; models elsewhere: --models-dir" : ""
            return .missing(
                MissingModel(
                    reference: reference, recipe: recipe, problem: problem,
                    hint: "paths count from the folder of the recipe; \(hint)\(folder)"))
        }
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
