import Checkpoints
import SystemPackage

/// What lies in a folder that a model is written into, as far as it would be taken for a part of that model.
package struct OlderModel {
    private let names: Set<String>

    package init(in folder: FilePath) {
        names = Set(folderExists(folder) ? ModelFolder.names(in: folder) : [])
    }

    private static let single = "model.safetensors"
    private static let index = "model.safetensors.index.json"

    /// What every model has, beside the files that go along with it.
    package static let replaceable = [
        single, index, ModelConfig.fileName, MergedFolder.cardName, MergedFolder.recipeName,
    ]

    /// A file that is in the way of a new model, if there is one.
    ///
    /// - Parameter isHarmless: whether a file may be there all the same.
    package func blocking(_ companions: [String], unless isHarmless: (String) -> Bool = { _ in false }) -> String? {
        (Self.replaceable + companions).first { names.contains($0) && !isHarmless($0) }
    }

    /// Files that would vouch for a mixture of old and new while the new ones take their places.
    func misleading(last: String) -> [String] { last == Self.index && names.contains(last) ? [last] : [] }

    /// Weights of another split, parts of a merge, and files of another tokenizer, that the new model does not have.
    ///
    /// - Returns: in the order in which they may go: a join goes on after a kill as long as there is the record of the first part,
    ///   which speaks for all and is the last.
    func obsolete(besides new: Set<String>) -> [String] {
        let obsolete = names.subtracting(new).filter { name in
            name == Self.single || name == Self.index || ShardName(name)?.stem == "model"
                || CompanionFiles.isTokenizerFile(name) || Self.isPart(name)
        }
        let records = obsolete.filter { MergePart(recordName: $0) != nil }
        return obsolete.subtracting(records).sorted() + records.sorted(by: >)
    }

    /// Whether a file is a shard of a part, or a part's record.
    static func isPart(_ name: String) -> Bool {
        if MergePart(recordName: name) != nil { return true }
        guard name.hasSuffix(".part") else { return false }
        let shard = String(name.dropLast(".part".count))
        return shard == single || ShardName(shard)?.stem == "model"
    }
}
