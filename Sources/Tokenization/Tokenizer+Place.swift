import Checkpoints
public import SystemPackage
import TensorCore

extension Tokenizer {
    /// Reads the tokenizer that belongs to a model.
    ///
    /// - Parameter place: a `tokenizer.json`, a checkpoint with one beside it, or the folder of a model.
    /// - Throws: as `init(reading:)`, and as `file(ofModelAt:)`.
    public init(ofModelAt place: FilePath) throws { try self.init(reading: try Self.file(ofModelAt: place)) }

    /// The file of the tokenizer that belongs to a model: a `.json` that is no index of shards is one, and any other is a checkpoint.
    ///
    /// - Throws: `IOError` `io.not_found` for a model without one.
    public static func file(ofModelAt place: FilePath) throws(IOError) -> FilePath {
        let isTokenizer = place.extension == "json" && !place.string.hasSuffix(".index.json")
        // What is not there is named as it was given.
        let base = AdaptedPath.base(of: place)
        if !folderExists(base), isTokenizer || !fileExists(base) { return place }
        let file = CheckpointFolder.folder(of: base).appending("tokenizer.json")
        guard fileExists(file) else {
            throw IOError(
                kind: .notFound, message: "\(place.string) has no tokenizer.json with it", file: file.string,
                hint: "older models have other files: transformers makes one of them, "
                    + "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)")
        }
        return file
    }
}
