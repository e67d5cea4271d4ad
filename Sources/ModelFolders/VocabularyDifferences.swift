import Checkpoints
import Glibc
import SystemPackage
import TensorCore

/// Models whose tokenizers differ from the one that goes along with the result.
///
/// Embeddings of one shape do not show that a row stands for the same token in all models.
struct VocabularyDifferences {
    package let warnings: [Warning]

    /// Compares the vocabularies of models.
    ///
    /// - Parameter donor: the model whose tokenizer goes along.
    init(_ models: [(name: String, folder: FilePath?)], donor: Int) {
        guard let own = models[donor].folder, let vocabulary = try? Vocabulary(ofModelIn: own) else {
            warnings = []
            return
        }
        var seen: Set<FilePath> = [own]
        warnings = models.enumerated().compactMap { place, model -> Warning? in
            // A tokenizer that cannot be read says nothing; the merge does not depend on it.
            guard place != donor, let folder = model.folder, seen.insert(folder).inserted,
                !Self.haveSameTokenizer(own, folder), let other = try? Vocabulary(ofModelIn: folder),
                let difference = Self.difference(vocabulary, other)
            else { return nil }
            return Warning(
                FolderWarning.tokenizerDiffers,
                "the tokenizer of \(model.name) differs from that of \(models[donor].name), which the result has: "
                    + difference)
        }
    }

    /// Nil when nothing differs.
    private static func difference(_ donor: Vocabulary, _ other: Vocabulary) -> String? {
        guard donor != other else { return nil }
        guard case .tokens(let ours) = donor, case .tokens(let theirs) = other else {
            return "rows of the embeddings may stand for other tokens"
        }
        let tokens = Dictionary(ours.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let numbers = Dictionary(theirs.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let conflicts = numbers.count { number, token in tokens[number].map { $0 != token } ?? false }
        if conflicts > 0 {
            return "\(conflicts) \(conflicts == 1 ? "row" : "rows") of the embeddings stand for other tokens there"
        }
        let missing = Set(theirs.keys).subtracting(ours.keys).count
        let extra = Set(ours.keys).subtracting(theirs.keys).count
        return missing > 0
            ? "it lacks \(missing) \(missing == 1 ? "token" : "tokens") that \(missing == 1 ? "has" : "have") rows there"
            : "it has \(extra) \(extra == 1 ? "token" : "tokens") more"
    }

    /// Nearly always models have one file, which then is not taken apart.
    private static func haveSameTokenizer(_ a: FilePath, _ b: FilePath) -> Bool {
        let name = "tokenizer.json"
        guard let x = try? MappedFile(a.appending(name)), let y = try? MappedFile(b.appending(name)) else {
            return false
        }
        return x.byteCount == y.byteCount
            && x.withUnsafeBytes { x in
                y.withUnsafeBytes { y in x.isEmpty || memcmp(x.baseAddress!, y.baseAddress!, x.count) == 0 }
            }
    }
}
