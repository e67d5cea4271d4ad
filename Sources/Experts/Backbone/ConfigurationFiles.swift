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

    /// Reads the files of a checkpoint.
    ///
    /// - Parameters:
    ///   - config: the main one, beside which the others are looked for; nil takes the one beside the checkpoint.
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
        func beside(_ name: FilePath) throws -> ConfigKeys? {
            let file = path.removingLastComponent().pushing(name)
            return fileExists(file) ? try ConfigKeys(reading: file) : nil
        }
        main = try ConfigKeys(reading: path)
        preprocessor = try beside("preprocessor_config.json")
        pooling = try beside("1_Pooling/config.json")
    }

    /// The files that are read for a checkpoint, as far as they are there.
    ///
    /// - Parameter config: the main one; nil takes the one beside the checkpoint.
    public static func paths(of checkpoint: FilePath, config: FilePath?) -> [FilePath] {
        let folder = config?.removingLastComponent() ?? CheckpointFolder.folder(of: checkpoint)
        let main = config.map { [$0] } ?? ["config.json", "open_clip_config.json"].map { folder.appending($0) }
        return (main + ["preprocessor_config.json", "1_Pooling/config.json"].map { folder.pushing($0) })
            .filter(fileExists)
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
