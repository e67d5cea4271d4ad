import SystemPackage
import TensorCore

/// Finds the checkpoint in a folder of the Hugging Face layout.
public enum CheckpointFolder {
    /// Whether a file is the checkpoint that its folder stands for, so that the other files of the folder belong to it.
    public static func isSpokenFor(by file: FilePath) -> Bool {
        let folder = file.removingLastComponent()
        let found = try? checkpoint(in: folder.isEmpty ? "." : folder)
        return found?.file.lastComponent == file.lastComponent
    }

    /// Where configuration and tokenizer of a checkpoint lie: the folder that it is or lies in, that of the base where adapters are
    /// folded in.
    package static func folder(of checkpoint: FilePath) -> FilePath {
        let base = AdaptedPath.base(of: checkpoint)
        if folderExists(base) { return base }
        let folder = base.removingLastComponent()
        return folder.isEmpty ? "." : folder
    }

    /// The file that a path stands for, the path itself when it is no folder or there is no telling.
    static func file(of path: FilePath) -> FilePath {
        folderExists(path) ? (try? checkpoint(in: path).file) ?? path : path
    }

    /// The file to open for a folder: `model.safetensors`, else `model.safetensors.index.json`, as in transformers; without
    /// either the only checkpoint there is, where an index counts as one with its shards, or the only one of which the others are
    /// variants (`model.fp16.safetensors`).
    ///
    /// - Returns: also what to warn of when there are others.
    /// - Throws: `FormatError` `unknown_format` when there is no checkpoint, or only in sub-folders, or no telling which, `missing_shard` when there are
    ///   shards and no index; `IOError` when the folder cannot be read.
    static func checkpoint(in folder: FilePath) throws -> (file: FilePath, warning: Warning?) {
        let names = try entries(of: folder)
        let sets = WeightSet.all(among: names)
        if let taken = WeightSet.standard(among: sets) {
            return (folder.appending(taken.name), WeightSet.warning(taking: taken, among: sets, in: folder))
        }
        guard sets.isEmpty else { throw ambiguity(of: sets, in: folder) }
        let shards = names.filter { CheckpointFormat.named(FilePath($0)) != nil && ShardName($0) != nil }
        if let shard = shards.first {
            throw FormatError(
                .missingShard,
                "the folder \(folder.string) holds \(shards.count == 1 ? "a part" : "parts") of a checkpoint, such as "
                    + "\(shard.escapingControlCharacters), and no index", file: folder,
                hint: "download model.safetensors.index.json and all parts, or name one file to work on it alone")
        }
        let subfolders = subfolders(of: folder)
        guard subfolders.isEmpty else { throw choice(among: subfolders, of: folder) }
        let other = ForeignWeights(among: names)
        let snapshot = other == nil ? HubSnapshot(containing: folder) : nil
        throw FormatError(
            .unknownFormat,
            "the folder \(folder.string) holds no checkpoint"
                + (other.map { " that this version reads, but \($0.name.escapingControlCharacters), \($0.what)" } ?? "")
                + (snapshot?.unfinished ?? ""),
            file: folder,
            hint: other?.remedy ?? snapshot.map { "if the model has weights, \($0.command()) downloads them" }
                ?? "it should hold model.safetensors or model.safetensors.index.json")
    }

    /// The folders in a folder, and in those, that hold checkpoints, by name; hidden ones are left out. It looks at so many and no deeper:
    /// a folder can be the root of a disk.
    static func subfolders(of folder: FilePath) -> [FilePath] {
        var left = 1000
        func subfolders(of path: FilePath, depth: Int) -> [FilePath] {
            let names = (try? entries(of: folder.pushing(path))) ?? []
            return names.flatMap { name -> [FilePath] in
                guard left > 0 else { return [] }
                let subfolder = path.appending(name)
                guard folderExists(folder.pushing(subfolder)) else { return [] }
                left -= 1
                let found = !sets(in: folder.pushing(subfolder)).isEmpty
                return (found ? [subfolder] : []) + (depth > 1 ? subfolders(of: subfolder, depth: depth - 1) : [])
            }
        }
        return subfolders(of: "", depth: 2)
    }

    private static func sets(in folder: FilePath) -> [WeightSet] {
        WeightSet.all(among: (try? entries(of: folder)) ?? [])
    }

    private static func choice(among subfolders: [FilePath], of folder: FilePath) -> FormatError {
        let shown = 6
        let list =
            subfolders.prefix(shown).map(\.string).joined(separator: ", ") + (subfolders.count > shown ? ", ..." : "")
        let rows = subfolders.flatMap { subfolder in
            sets(in: folder.pushing(subfolder)).map { $0.row(in: folder, subfolder: subfolder) }
        }
        return FormatError(
            .unknownFormat,
            "the folder \(folder.string) holds no checkpoint itself, but \(subfolders.count) of its sub-folders "
                + "\(subfolders.count == 1 ? "does" : "do") (\(list.escapingControlCharacters))", file: folder,
            hint: "choose one with --subfolder \(subfolders[0].string.quotedForShell), or name its path",
            details: DiagnosticTable(columns: WeightSet.columns, rows: rows))
    }

    private static func ambiguity(of sets: [WeightSet], in folder: FilePath) -> FormatError {
        let shown = 10
        let list = sets.prefix(shown).map(\.name).joined(separator: ", ") + (sets.count > shown ? ", ..." : "")
        return FormatError(
            .unknownFormat,
            "the folder \(folder.string) holds \(sets.count) checkpoints (\(list.escapingControlCharacters))",
            file: folder,
            hint: "name one of the files, such as \(folder.appending(sets[0].name).string)",
            details: DiagnosticTable(columns: WeightSet.columns, rows: sets.map { $0.row(in: folder) }))
    }
}

/// Weights in a format of others, in a folder without a checkpoint.
private struct ForeignWeights {
    let name: String
    /// What that is, with its article.
    let what: String
    let remedy: String

    /// The first of them, if there is one.
    init?(among names: [String]) {
        for name in names {
            guard let format = ForeignFormat(ofFileNamed: name) else { continue }
            self.name = name
            what = format.name
            remedy = format.remedy
            return
        }
        return nil
    }
}
