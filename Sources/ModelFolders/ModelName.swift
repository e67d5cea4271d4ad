import Checkpoints
import SystemPackage

extension FilePath {
    /// What a model at the path is called where nobody has named it: `owner/name` in the cache of the Hugging Face hub, the folder
    /// of weights that are its checkpoint, otherwise the name of the file without a checkpoint's extension.
    public var modelName: String {
        if let name = hubName { return name }
        let standard = ["model.safetensors", "model.safetensors.index.json"]
        if let last = lastComponent?.string, standard.contains(last), let folder = removingLastComponent().lastComponent
        {
            return folder.string
        }
        return checkpointName ?? string
    }

    /// The last component without a checkpoint's extension; other suffixes belong to the name: `Mistral-7B-v0.1`.
    package var checkpointName: String? {
        guard let last = lastComponent else { return nil }
        let extensions = ["safetensors", "npz", "npy", "skein", "pt", "pth", "bin", "gguf"]
        return extensions.contains(last.extension?.lowercased() ?? "") ? last.stem : last.string
    }

    /// `owner/name` of a path in the cache of the Hugging Face hub, `.../models--owner--name/snapshots/...`.
    var hubName: String? {
        for component in components.map(\.string) where component.hasPrefix("models--") {
            let parts = component.dropFirst("models--".count).split(separator: "--", maxSplits: 1)
            let allowed = parts.allSatisfy { part in
                part.utf8.allSatisfy { $0 < 0x80 && ($0.isLetterOrDigit || "-_.".utf8.contains($0)) }
            }
            if parts.count == 2, allowed { return parts.joined(separator: "/") }
        }
        return nil
    }

    /// The folder of weights that it stands for, otherwise the path itself: what a recipe calls the model.
    package var modelFolder: FilePath {
        let folder = removingLastComponent()
        let isStandard = ["model.safetensors", "model.safetensors.index.json"].contains(lastComponent?.string)
        return isStandard && !folder.isEmpty && CheckpointFolder.isSpokenFor(by: self) ? folder : self
    }
}

/// The names of several models at once, each another.
public enum ModelNames {
    /// Models whose names would be the same are called by their paths.
    public static func distinct(_ paths: [FilePath]) -> [String] {
        let names = paths.map(\.modelName)
        let counts = Dictionary(names.map { ($0, 1) }, uniquingKeysWith: +)
        return zip(paths, names).map { counts[$1] == 1 ? $1 : $0.string }
    }
}

extension UInt8 {
    fileprivate var isLetterOrDigit: Bool {
        (0x30...0x39).contains(self) || (0x41...0x5A).contains(self & 0xDF)
    }
}
