import Checkpoints
import Networks
import SystemPackage
import TensorCore

/// The files beside a checkpoint that say what its tensors do not.
public struct ConfigurationFiles: Sendable {
    /// `config.json`, or what the library calls it.
    let main: ConfigKeys
    /// `preprocessor_config.json` of transformers: how pixels are normalised.
    let preprocessor: ConfigKeys?
    /// `1_Pooling/config.json` of sentence-transformers.
    let pooling: ConfigKeys?
    private let folders: [FilePath]

    /// Reads the files of a checkpoint.
    ///
    /// - Parameters:
    ///   - config: the main one; nil takes the one beside the checkpoint. The others are looked for beside it, then beside the checkpoint.
    ///   - names: what the main one may be called; the first that is there counts.
    /// - Throws: `input.missing_config`, `input.bad_config`, `FormatError` for JSON that is none.
    init(of checkpoint: FilePath, config: FilePath?, names: [String], hint: String?) throws {
        let candidates = config.map { [$0] } ?? names.map { CheckpointFolder.folder(of: checkpoint).appending($0) }
        guard let path = candidates.first(where: fileExists) else {
            throw InputError(
                .missingConfig,
                "there is no \(candidates[0].string) to say what architecture \(checkpoint.string) has",
                file: candidates[0], hint: hint ?? "put the model's \(names[0]) beside it, or give --config FILE")
        }
        folders = Self.folders(of: checkpoint, config: path)
        main = try ConfigKeys(reading: path)
        preprocessor = try Self.file("preprocessor_config.json", in: folders).map { try ConfigKeys(reading: $0) }
        pooling = try Self.file("1_Pooling/config.json", in: folders).map { try ConfigKeys(reading: $0) }
    }

    /// Where files of the model are looked for, in this order.
    private static func folders(of checkpoint: FilePath, config: FilePath?) -> [FilePath] {
        (config.map { [$0.removingLastComponent()] } ?? []) + [CheckpointFolder.folder(of: checkpoint)]
    }

    private static func file(_ name: FilePath, in folders: [FilePath]) -> FilePath? {
        folders.map { $0.pushing(name) }.first(where: fileExists)
    }

    /// Where a file of the model is, or would be expected.
    func path(of name: FilePath) -> FilePath { Self.file(name, in: folders) ?? folders[0].pushing(name) }

    /// The files that are read for a checkpoint, as far as they are there.
    ///
    /// - Parameter config: the main one; nil takes the one beside the checkpoint.
    public static func paths(of checkpoint: FilePath, config: FilePath?) -> [FilePath] {
        let folders = folders(of: checkpoint, config: config)
        let main = config.map { [$0] } ?? ["config.json", "open_clip_config.json"].map { folders[0].appending($0) }
        return main.filter(fileExists)
            + ["preprocessor_config.json", "1_Pooling/config.json"].compactMap { file($0, in: folders) }
    }

    /// Whether a pooling is chosen, so that it is not the library's.
    var saysPooling: Bool {
        pooling != nil
            || [main, main["model_args"]].contains { keys in
                ["pooling", "global_pool"].contains { keys?.value($0) != nil }
            }
    }

    /// How the tokens of a text become one feature: `pooling` of the main file, or else what sentence-transformers' says; the mean, as
    /// there, where nothing does.
    ///
    /// - Throws: `input.bad_config` that names another mode.
    func textPooling() throws(InputError) -> Pooling {
        if let pooling = try main.pooling("pooling") { return pooling }
        guard let pooling else { return .mean }
        if let pooling = try pooling.pooling("pooling_mode") { return pooling }
        let prefix = "pooling_mode_"
        var modes: [String] = []
        for key in pooling.names where key.hasPrefix(prefix) {
            if try pooling.flag(key) == true { modes.append(String(key.dropFirst(prefix.count))) }
        }
        switch modes {
        case []: return .mean
        case ["mean_tokens"]: return .mean
        case ["cls_token"]: return .cls
        default:
            throw InputError(
                .badConfig,
                "\(pooling.file.string) pools by \(modes.joined(separator: " and ")); mean_tokens or cls_token is supported",
                file: pooling.file)
        }
    }
}

extension ConfigKeys {
    /// The pooling that a key names, in the words of this tool, of timm and of sentence-transformers.
    func pooling(_ key: String) throws(InputError) -> Pooling? {
        switch try text(key) {
        case nil: return nil
        case "cls", "token": return .cls
        case "mean", "avg": return .mean
        case let other?:
            throw InputError(
                .badConfig, "\(key) \"\(other)\" is not supported; cls and mean are", file: file)
        }
    }
}
