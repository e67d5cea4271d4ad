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
    let remedy: Remedy

    /// What a user can do.
    enum Remedy: Hashable {
        case advice(String)
        /// Taking the tensor from the base, so that the result has it, with what else is worth trying.
        case keep(also: String? = nil)
        /// Leaving out what the base does not have either.
        case exclude

        /// That of tensors whose types do not merge. 8-bit floats can be cast; what they are multiplied with nobody may have recognised.
        fileprivate init(_ dtypes: [DType]) {
            self =
                dtypes.allSatisfy { $0.isFloatingPoint && $0.bitWidth >= 8 }
                ? .keep(also: "untangle convert --dtype BF16 each model first, unless scales belong to it") : .keep()
        }

        /// The remedy as it is typed.
        ///
        /// - Parameter patterns: those of the tensors.
        func text(for patterns: [String]) -> String {
            func option(_ name: String) -> String { patterns.map { "\(name) '\($0)'" }.joined(separator: " ") }
            return switch self {
            case .advice(let text): text
            case .keep(let also): option("--keep-base") + (also.map { ", or \($0)" } ?? "")
            case .exclude: option("--exclude")
            }
        }
    }

    // MARK: - Errors

    /// The error of models that do not fit together.
    ///
    /// - Parameters:
    ///   - all: the names that take part.
    ///   - maps: the options that would make most names match, if there are such.
    static func mismatch(_ differences: [ModelDifference], all: [TensorName], maps: String?) -> MergeError {
        let rows = rows(of: differences, all: all)
        let places = differences.count == 1 ? "place" : "places"
        var error = MergeError(
            .incompatible,
            "the models do not fit together in \(differences.count) \(places): \(summary(of: rows))",
            hint: maps.map { "most names match with \($0)" }
                ?? "take tensors from the base with --keep-base, or check that all models come from one base")
        error.details = table(of: rows)
        return error
    }

    /// The error of tensors that cannot be averaged and differ.
    static func differentCopies(_ differences: [ModelDifference], all: [TensorName]) -> MergeError {
        let rows = rows(of: differences, all: all)
        var error = MergeError(
            .differentBuffers, "tensors that cannot be averaged must be the same in all models: \(summary(of: rows))",
            hint: "take them from the base with \(rows[0].difference.remedy.text(for: rows[0].patterns))")
        error.details = table(of: rows)
        return error
    }

    /// Tensors of several layers with one difference between the models.
    private struct Row {
        let difference: ModelDifference
        let patterns: [String]
        let names: [TensorName]

        private var tensor: String { names.count == 1 ? names[0].text : patterns.joined(separator: " ") }
        private var count: String { names.count == 1 ? "" : " (\(names.count) tensors)" }

        var cells: [String] {
            [tensor, difference.kind.rawValue, difference.models + count, difference.remedy.text(for: patterns)]
        }

        /// The difference as part of a sentence.
        var phrase: String {
            let subject =
                names.count == 1
                ? "tensor \"\(names[0])\"" : "each of \(names.count) tensors \"\(tensor.escapingControlCharacters)\""
            return switch difference.kind {
            case .missing: "\(subject) is \(difference.models)"
            case .vocabulary, .shape: "\(subject) has shape \(difference.models)"
            case .type: "\(subject) has type \(difference.models)"
            case .contents: "\(subject) \(difference.models)"
            }
        }
    }

    /// Differences of one kind in the same tensor of all layers stand together.
    private static func rows(of differences: [ModelDifference], all: [TensorName]) -> [Row] {
        struct Kin: Hashable {
            let kind: Kind
            let models: String
            let remedy: Remedy
        }
        var kin: [Kin: [ModelDifference]] = [:]
        for difference in differences {
            kin[Kin(kind: difference.kind, models: difference.models, remedy: difference.remedy), default: []].append(
                difference)
        }
        var rows: [Row] = []
        let endings = NameEndings(all)
        for same in kin.values {
            let layers = LayerPatterns(same.map(\.tensor), among: endings)
            rows += layers.groups.map { Row(difference: same[0], patterns: $0.patterns, names: $0.names) }
        }
        let places = Dictionary(
            differences.enumerated().map { ($1.tensor, $0) }, uniquingKeysWith: { first, _ in first })
        return rows.sorted { (places[$0.names[0]] ?? 0) < (places[$1.names[0]] ?? 0) }
    }

    /// All differences as the table that goes before the error.
    private static func table(of rows: [Row]) -> DiagnosticTable {
        DiagnosticTable(columns: ["tensor", "problem", "models", "remedy"], rows: rows.map(\.cells))
    }

    /// The first few differences in a sentence: an error is a line that people read.
    private static func summary(of rows: [Row]) -> String {
        let shown = 4
        let rest = rows.dropFirst(shown).reduce(0) { $0 + $1.names.count }
        return rows.prefix(shown).map(\.phrase).joined(separator: "; ") + (rest > 0 ? "; and \(rest) more" : "")
    }

    // MARK: - Kinds

    /// A tensor that some models lack.
    ///
    /// - Parameters:
    ///   - isInFirst: whether the model has it from which tensors are kept.
    ///   - map: a rename that would give the models the same tensors.
    ///   - isDeeper: whether the tensor belongs to layers behind the last of the models that lack it.
    static func missing(
        _ tensor: TensorName, has: [String], lacks: [String], isInFirst: Bool, map: NameMap?, isDeeper: Bool
    ) -> ModelDifference {
        let slices = isDeeper ? "choose layers with slices in a recipe" : nil
        return ModelDifference(
            kind: .missing, tensor: tensor, models: "in \(list(has)), not in \(list(lacks))",
            remedy: map.map { .advice($0.options) }
                ?? (isInFirst ? .keep(also: slices) : slices.map { .advice($0) } ?? .exclude))
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
                remedy: .advice(
                    "give all models one vocabulary, such as resize_token_embeddings(\(rows)) in transformers"))
        }
        let isTransposed = all.allSatisfy { $0 == first || $0 == first.reversed() }
        return ModelDifference(
            kind: .shape, tensor: tensor, models: models,
            remedy: isTransposed && first.count == 2
                ? .advice("transposed: save all models with one library")
                : .keep(also: "merge models of one architecture"))
    }

    /// A tensor whose types cannot be merged with each other.
    static func types(_ tensor: TensorName, _ types: [(model: String, dtype: DType)]) -> ModelDifference {
        ModelDifference(
            kind: .type, tensor: tensor, models: grouped(types.map { ($0.model, $0.dtype.rawValue) }),
            remedy: Remedy(types.map(\.dtype)))
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
            remedy: Remedy([dtype]))
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
