import Checkpoints
import TensorCore

/// One tensor in which the models of a merge do not fit together.
struct ModelDifference {
    /// What kind of difference it is, in the words of the table.
    enum Kind: String {
        case missing
        /// Embeddings or output heads of different numbers of rows.
        case vocabulary
        case shape
        case type
        /// Tensors without arithmetic whose bytes differ.
        case contents
    }

    let kind: Kind
    let tensor: TensorName
    /// What each model has, models that agree side by side.
    let models: String
    let remedy: String

    /// The difference as part of a sentence.
    var phrase: String {
        switch kind {
        case .missing: "tensor \"\(tensor)\" is \(models)"
        case .vocabulary, .shape: "tensor \"\(tensor)\" has shape \(models)"
        case .type: "tensor \"\(tensor)\" has type \(models)"
        case .contents: "tensor \"\(tensor)\" \(models)"
        }
    }

    /// All differences as the table that goes before the error.
    static func table(_ differences: [ModelDifference]) -> DiagnosticTable {
        DiagnosticTable(
            columns: ["tensor", "problem", "models", "remedy"],
            rows: differences.map { [$0.tensor.text, $0.kind.rawValue, $0.models, $0.remedy] })
    }

    /// The first few differences in a sentence: an error is a line that people read.
    static func summary(of differences: [ModelDifference]) -> String {
        let shown = 4
        let rest = differences.count > shown ? "; and \(differences.count - shown) more" : ""
        return differences.prefix(shown).map(\.phrase).joined(separator: "; ") + rest
    }

    // MARK: - Kinds

    /// A tensor that some models lack.
    ///
    /// - Parameter remedy: what would give the models the same tensors, if anything does.
    static func missing(
        _ tensor: TensorName, has: [String], lacks: [String], remedy: String?
    ) -> ModelDifference {
        ModelDifference(
            kind: .missing, tensor: tensor, models: "in \(list(has)), not in \(list(lacks))",
            remedy: remedy ?? "--exclude '\(tensor)'")
    }

    /// A tensor whose shape differs.
    static func shapes(_ tensor: TensorName, _ shapes: [(model: String, shape: Shape)]) -> ModelDifference {
        let first = shapes[0].shape.dims
        let all = shapes.map(\.shape.dims)
        let models = grouped(shapes.map { ($0.model, "\($0.shape)") })
        if isVocabulary(tensor), all.allSatisfy({ $0.count == first.count && $0.dropFirst() == first.dropFirst() }) {
            let rows = all.map { $0.first ?? 0 }.max() ?? 0
            return ModelDifference(
                kind: .vocabulary, tensor: tensor, models: models,
                remedy: "give all models one vocabulary, such as resize_token_embeddings(\(rows)) in transformers")
        }
        let isTransposed = all.allSatisfy { $0 == first || $0 == first.reversed() }
        return ModelDifference(
            kind: .shape, tensor: tensor, models: models,
            remedy: isTransposed && first.count == 2
                ? "transposed: save all models with one library"
                : "--exclude '\(tensor)', if it is a head; else the architectures differ")
    }

    /// A tensor whose types cannot be merged with each other.
    static func types(_ tensor: TensorName, _ types: [(model: String, dtype: DType)]) -> ModelDifference {
        ModelDifference(
            kind: .type, tensor: tensor, models: grouped(types.map { ($0.model, $0.dtype.rawValue) }),
            remedy: "untangle convert --dtype, or --exclude '\(tensor)'")
    }

    /// A tensor that is only copied and differs.
    ///
    /// - Parameter others: the models that have other bytes than the first.
    static func contents(
        _ tensor: TensorName, dtype: DType, first: String, others: [String]
    ) -> ModelDifference {
        ModelDifference(
            kind: .contents, tensor: tensor,
            models: "(\(dtype.rawValue)) differs between \(first) and \(list(others))",
            remedy: "--exclude '\(tensor)'")
    }

    /// Whether a tensor has a row for every token.
    private static func isVocabulary(_ name: TensorName) -> Bool {
        let parts = name.text.split(separator: ".").suffix(2)
        let owners: Set<Substring> = [
            "embed_tokens", "wte", "word_embeddings", "embed_in", "embed_out", "tok_embeddings", "shared", "lm_head",
            "output", "decoder", "predictions",
        ]
        return parts.contains { owners.contains($0) }
    }

    /// `a [1]; b, c [2]`: models in order, those with the same value together.
    private static func grouped(_ values: [(model: String, value: String)]) -> String {
        var groups: [(value: String, models: [String])] = []
        for (model, value) in values {
            if let place = groups.firstIndex(where: { $0.value == value }) {
                groups[place].models.append(model)
            } else {
                groups.append((value, [model]))
            }
        }
        return groups.map { "\($0.value) in \(list($0.models))" }.joined(separator: ", ")
    }

    /// The first few of a list of models.
    private static func list(_ models: [String]) -> String {
        let shown = 6
        let rest = models.count > shown ? " and \(models.count - shown) more" : ""
        return models.prefix(shown).joined(separator: ", ") + rest
    }
}
