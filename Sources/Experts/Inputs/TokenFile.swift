import Checkpoints
import Networks
import SystemPackage
import TensorCore

/// The texts of a data file as numbers of a vocabulary, and their labels if there are any.
///
/// The file has what tokenizers of transformers make: `input_ids` `[N, T]`, `attention_mask` `[N, T]` of 0 and 1 (without it nothing is
/// padding), `token_type_ids` `[N, T]` (without it all are 0) and `labels` `[N]`, all of any type of integers.
public struct TokenFile: Sendable {
    public let tokens: TokenSet
    /// One class per text.
    public let labels: [Int]?

    /// Reads texts and labels.
    ///
    /// - Throws: `input.*` with file, tensor, text and word; `FormatError`, `IOError`.
    public init(_ path: FilePath, of shape: TokenShape, options: ReadOptions = ReadOptions()) throws {
        let store = try DataFile.open(path, of: .tokens(shape), options: options)
        let found = try store.required("input_ids").shape
        guard found.isMatrix, found.dims[0] > 0, found.dims[1] > 0 else {
            throw InputError(
                .badShape, "\"input_ids\" has shape \(found), but the model takes [N, T]", file: path,
                tensor: "input_ids")
        }
        let (count, length) = (found.dims[0], found.dims[1])
        guard length <= shape.longest else {
            throw InputError(
                .badShape,
                "\"input_ids\" has shape \(found), but the model has positions for \(shape.longest) tokens", file: path,
                tensor: "input_ids", hint: "let the tokenizer cut: max_length=\(shape.longest), truncation=True")
        }
        func numbers(_ name: TensorName, below limit: Int, _ what: String) throws -> [Int]? {
            guard store.index(of: name) != nil else { return nil }
            let (own, values) = try store.integers(name)
            guard own == found else {
                throw InputError(
                    .badShape, "\"\(name)\" has shape \(own), but \"input_ids\" has shape \(found)", file: path,
                    tensor: name)
            }
            if let place = values.firstIndex(where: { !(0..<limit).contains($0) }) {
                throw InputError(
                    .badValue,
                    "\"\(name)\" has the value \(values[place]) in text \(place / length) at token \(place % length); \(what)",
                    file: path, tensor: name)
            }
            return values
        }
        let ids = try numbers(
            "input_ids", below: min(shape.vocabulary, Int(Int32.max)),
            "the model's vocabulary has the numbers 0 to \(shape.vocabulary - 1)")
        let mask = try numbers("attention_mask", below: 2, "a mask is 1 for tokens and 0 for padding")
        if let mask, let text = (0..<count).first(where: { !mask[$0 * length..<($0 + 1) * length].contains(1) }) {
            throw InputError(
                .badValue, "\"attention_mask\" is 0 in all of text \(text), so that there is nothing to look at",
                file: path,
                tensor: "attention_mask")
        }
        let types = try numbers(
            "token_type_ids", below: max(1, shape.typeCount),
            shape.typeCount == 0 ? "the model knows no token types" : "the model knows \(shape.typeCount), from 0")
        do throws(NetworkError) {
            tokens = try TokenSet(
                ids: (ids ?? []).map { Int32($0) }, isWord: mask.map { $0.map { $0 == 1 } },
                types: shape.typeCount == 0 ? nil : types.map { $0.map { Int32($0) } }, count: count, length: length)
        } catch {
            throw InputError(.badValue, error.message, file: path, tensor: "input_ids", hint: error.hint)
        }
        labels = try DataFile.labels(in: store, count: count, of: .tokens(shape))
    }
}
