import Checkpoints
import ModelFolders
import SystemPackage
import TensorCore

extension Recipe {
    /// Checks that embeddings may be merged row by row and go along with the tokenizer that the recipe asks for.
    ///
    /// mergekit moves rows so that each token meets itself. Here rows stay where they are, which is right when all models
    /// have one vocabulary; then any of their tokenizers is the union of all.
    ///
    /// - Throws: `recipe.unsupported` that names two models whose vocabularies differ, or under `union` a model without one.
    package func checkVocabularies() throws {
        guard let tokenizer else { return }
        var places = sourcePlaces
        if case .model(let place) = tokenizer, !places.contains(place) { places.append(place) }
        var first: (folder: FilePath, vocabulary: Vocabulary)?
        for path in places.map({ AdaptedPath.base(of: models[$0].path) }) where fileExists(path) {
            let folder = CheckpointFolder.folder(of: path)
            guard let vocabulary = try Vocabulary(ofModelIn: folder) else {
                if tokenizer == .union { throw unsupported("\(path) has no tokenizer that could be compared") }
                continue
            }
            if let first, first.vocabulary != vocabulary {
                throw unsupported("\(first.folder) and \(folder) have different vocabularies")
            }
            first = first ?? (folder, vocabulary)
        }
    }

    private func unsupported(_ problem: String) -> RecipeError {
        RecipeError(
            .unsupported, "the vocabularies of the models cannot be joined: \(problem.escapingControlCharacters)",
            file: path, at: tokenizerPosition,
            hint: "without a tokenizer key rows are merged as they stand; other vocabularies need mergekit")
    }
}
