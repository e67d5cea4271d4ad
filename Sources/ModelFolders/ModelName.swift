import Checkpoints
import SystemPackage

extension FilePath {
    /// What a model at the path is called where nobody has named it: `owner/name` in the cache of the Hugging Face hub, the folder
    /// of weights that are its checkpoint, otherwise the name of the file without a checkpoint's extension.
    public var modelName: String {
        // Adapters of one base are told apart by their own names.
        if let adapted = AdaptedPath(self) { return adapted.adapters.map(\.modelName).joined(separator: "+") }
        if let name = hubName { return name }
        let standard = [
            "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors", "adapter_model.bin",
        ]
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
    var hubName: String? { HubSnapshot(containing: self)?.name.description }

    /// What a recipe calls the model: the name and commit of a snapshot in the hub's cache, the folder of weights that it stands for,
    /// otherwise the path itself.
    package var modelReference: String {
        if let adapted = AdaptedPath(self) {
            return ([adapted.base] + adapted.adapters).map(\.modelReference).joined(separator: "+")
        }
        let folder = removingLastComponent()
        let isStandard = ["model.safetensors", "model.safetensors.index.json"].contains(lastComponent?.string)
        guard isStandard, !folder.isEmpty, CheckpointFolder.isSpokenFor(by: self) else { return string }
        guard let snapshot = HubSnapshot(containing: folder), snapshot.folder == folder, snapshot.cache == .standard
        else { return folder.string }
        return snapshot.reference
    }
}

extension TensorStore {
    /// What a recipe calls the model; see the path's.
    package var modelReference: String { (AdaptedPath(openedPath) == nil ? path : openedPath).modelReference }
}

/// The names of several models at once, each another.
public enum ModelNames {
    /// Models whose names would be the same are called by their paths, or by their commits on the hub.
    public static func distinct(_ paths: [FilePath]) -> [String] {
        let names = paths.map(\.modelName)
        let counts = Dictionary(names.map { ($0, 1) }, uniquingKeysWith: +)
        return zip(paths, names).map { counts[$1] == 1 ? $1 : HubSnapshot(containing: $0)?.reference ?? $0.string }
    }
}
