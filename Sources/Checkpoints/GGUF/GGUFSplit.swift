import SystemPackage
import TensorCore

/// What a part of a split GGUF file says of itself, and the names of the others: `model-00001-of-00003.gguf`.
///
/// Source: `llama-model-loader.cpp` and `gguf-split` of llama.cpp, whose first part holds the metadata of the model.
struct GGUFSplit {
    static let numberKey = "split.no"
    static let countKey = "split.count"
    static let tensorCountKey = "split.tensors.count"

    /// The part's number, from 0 on.
    let number: Int
    let count: Int
    /// The tensors of all parts; nil when the file does not say.
    let tensorCount: Int?

    /// Reads the keys of a part; nil when the file is a checkpoint by itself.
    ///
    /// - Throws: `FormatError` `bad_value` for numbers that are none of a part.
    init?(_ metadata: GGUFMetadata, file: FilePath) throws(FormatError) {
        guard let value = metadata[Self.countKey] else { return nil }
        guard let count = value.integer, count >= 0 else {
            throw FormatError(
                .badValue,
                "`\(Self.countKey)` is \(value.description.escapingControlCharacters), not a number of parts",
                file: file)
        }
        guard count > 1 else { return nil }
        guard let number = metadata[Self.numberKey]?.integer, (0..<count).contains(number) else {
            let found = metadata[Self.numberKey]?.description.escapingControlCharacters ?? "absent"
            throw FormatError(
                .badValue, "`\(Self.numberKey)` is \(found), not the number of one of \(count) parts", file: file)
        }
        self.number = number
        self.count = count
        tensorCount = metadata[Self.tensorCountKey]?.integer
    }

    /// Opens the other parts beside the first, and checks that they belong together.
    ///
    /// - Throws: `FormatError` `missing_shard` with the name of the part, `index_mismatch` for a part of another checkpoint,
    ///   `duplicate_key` for a tensor in two parts; the faults of a single file; `IOError` when a file cannot be read.
    func parts(following first: GGUFFile, salvaging: Bool) throws -> [GGUFFile] {
        let name = try name(of: first.path)
        func file(_ number: Int) -> FilePath {
            let part = ShardName(stem: name.stem, number: number + 1, count: count)
            return first.path.removingLastComponent().appending(part.text(withExtension: "gguf"))
        }
        guard number == 0 else {
            throw FormatError(
                .indexMismatch, "\(first.path.string) is part \(number + 1) of \(count)", file: first.path,
                hint: "name the first part, \(file(0).string): the others are found beside it")
        }
        let parts = try [first] + (1..<count).map { try part($0, at: file($0), salvaging: salvaging) }
        try checkTensors(of: parts)
        return parts
    }

    /// The name of a part, from which those of the others follow.
    private func name(of file: FilePath) throws(FormatError) -> ShardName {
        guard let name = ShardName(file.lastComponent?.string ?? ""), name.number == number + 1, name.count == count
        else {
            throw FormatError(
                .missingShard,
                "\(file.string) is part \(number + 1) of \(count) but is not named so: the others cannot be found",
                file: file,
                hint: "give the parts the names that they had: "
                    + ShardName(stem: "NAME", number: 1, count: count).text(withExtension: "gguf") + " and so on")
        }
        return name
    }

    private func part(_ number: Int, at file: FilePath, salvaging: Bool) throws -> GGUFFile {
        do {
            let part = try GGUFFile(opening: file, salvaging: salvaging)
            let split = try GGUFSplit(part.header.metadata, file: file)
            guard split?.number == number, split?.count == count else {
                let found = split.map { "part \($0.number + 1) of \($0.count)" } ?? "no part of a split checkpoint"
                throw FormatError(
                    .indexMismatch, "\(file.string) is \(found), not part \(number + 1) of \(count)", file: file)
            }
            return part
        } catch let error as IOError where error.kind == .notFound {
            throw FormatError(
                .missingShard, "part \(number + 1) of \(count), \(file.string), is not there", file: file,
                hint: "put all parts into one folder")
        }
    }

    private func checkTensors(of parts: [GGUFFile]) throws(FormatError) {
        var names: Set<TensorName> = []
        for part in parts {
            for name in part.header.entries.map(\.descriptor.name) where !names.insert(name).inserted {
                throw FormatError(
                    .duplicateKey, "tensor \"\(name)\" lies in \(part.path.string) and in an earlier part",
                    file: part.path, tensor: name)
            }
        }
        let found = parts.reduce(0) { $0 + $1.header.entries.count + $1.header.damage.count }
        if let tensorCount, tensorCount != found {
            throw FormatError(
                .indexMismatch, "`\(Self.tensorCountKey)` is \(tensorCount) but the parts hold \(found) tensors",
                file: parts[0].path)
        }
    }

    private static let keys = [numberKey, countKey, tensorCountKey]

    /// The metadata of a part without what only makes it one.
    static func removeKeys(from metadata: inout GGUFMetadata) {
        for key in keys { metadata[key] = nil }
    }

    /// Whether two metadata say the same of the part that a file is.
    static func isEqual(_ a: GGUFMetadata, _ b: GGUFMetadata) -> Bool { keys.allSatisfy { a[$0] == b[$0] } }

    /// The file by which a checkpoint is opened that a file has a part of, as far as its name tells; else the file itself.
    static func first(of file: FilePath) -> FilePath {
        guard let name = ShardName(file.lastComponent?.string ?? "") else { return file }
        let first = ShardName(stem: name.stem, number: 1, count: name.count)
        return file.removingLastComponent().appending(first.text(withExtension: file.extension ?? "gguf"))
    }
}
