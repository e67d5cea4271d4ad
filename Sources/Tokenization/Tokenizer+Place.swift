import Checkpoints
public import SystemPackage
import TensorCore

extension Tokenizer {
    /// Reads the tokenizer that belongs to a model.
    ///
    /// - Parameter place: a `tokenizer.json`, a checkpoint with one beside it, or the folder of a model.
    /// - Throws: as `init(reading:)`.
    public init(ofModelAt place: FilePath) throws { try self.init(reading: Self.file(ofModelAt: place)) }

    /// The file of the tokenizer that belongs to a model: a `.json` that is no index of shards is one, and any other is a checkpoint.
    public static func file(ofModelAt place: FilePath) -> FilePath {
        if folderExists(place) { return place.appending("tokenizer.json") }
        // What is not there is named as it was given.
        let isTokenizer = place.extension == "json" && !place.string.hasSuffix(".index.json")
        if isTokenizer || !fileExists(place) { return place }
        return place.removingLastComponent().appending("tokenizer.json")
    }
}
