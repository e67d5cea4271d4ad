import Checkpoints
import Networks
import SystemPackage
import TensorCore
import Tokenization

/// What turns texts into inputs of a backbone.
extension Backbone {
    /// Where the tokenizer is: beside the configuration, or else beside the checkpoint.
    package var tokenizerPath: FilePath { files.path(of: "tokenizer.json") }

    /// How texts are cut into pieces.
    ///
    /// - Throws: `input.bad_tokenizer` when there is none, or it has pieces that the model does not know; `tokenizer.*`;
    ///   `network.bad_tokens` for a network of images.
    func tokenizer() throws -> Tokenizer {
        guard case .tokens(let shape) = network.input else {
            throw NetworkError(.badTokens, "there are texts, but the model takes images")
        }
        guard fileExists(tokenizerPath) else {
            throw InputError(
                .badTokenizer, "there is no \(tokenizerPath.string) to cut texts into pieces", file: tokenizerPath,
                hint: "put the model's tokenizer.json beside its config.json, or give token ids in an .npz")
        }
        let tokenizer = try Tokenizer(reading: tokenizerPath)
        guard tokenizer.vocabularyCount <= shape.vocabulary else {
            throw InputError(
                .badTokenizer,
                "\(tokenizerPath.string) has \(tokenizer.vocabularyCount) pieces, but the model's vocabulary has \(shape.vocabulary)",
                file: tokenizerPath, hint: "take the tokenizer of this model")
        }
        return tokenizer
    }
}
