import Checkpoints
import SystemPackage

extension FilePath {
    /// What a model at the path is called where nobody has named it: `owner/name` in the cache of the Hugging Face hub, the folder
    /// of weights that are its checkpoint, otherwise the name of the file without a checkpoint's extension.
    public var modelName: String {
        // Adapters of one base are told apart by their own names.
        if let adapted = AdaptedPath(self) { return adapted.adapters.map(\.modelName).joined(separator: "+") }
        if let name = hubName { return name }
        if isStandardFile, let folder = removingLastComponent().lastComponent { return folder.string }
        return checkpointName ?? string
    }

    /// Whether the file is called like those of all models in folders.
    private var isStandardFile: Bool {
        [
            "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors", "adapter_model.bin",
        ].contains(lastComponent?.string)
    }

    /// The last component without a checkpoint's extension; other suffixes belong to the name: `Mistral-7B-v0.1`. A folder keeps all.
    package var checkpointName: String? {
        guard let last = lastComponent else { return nil }
        let ending = last.extension?.lowercased() ?? ""
        let isFile = CheckpointFormat.all.contains { $0.extensions.contains(ending) } && !folderExists(self)
        return isFile ? last.stem : last.string
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
    /// Models whose names would be the same take more of their paths, `a/x` and `b/x`, or their commits on the hub. Those of one path are
    /// counted: `x` and `x-2`.
    public static func distinct(_ paths: [FilePath]) -> [String] {
        let names = paths.map(\.modelNames)
        var places = paths.map { _ in 0 }
        while true {
            let chosen = zip(names, places).map { $0[$1] }
            let counts = Dictionary(chosen.map { ($0, 1) }, uniquingKeysWith: +)
            let shared = paths.indices.filter { counts[chosen[$0], default: 0] > 1 && places[$0] + 1 < names[$0].count }
            if shared.isEmpty { return counted(chosen) }
            for place in shared { places[place] += 1 }
        }
    }

    /// The names as those of files in one folder, without endings, each another.
    public static func fileNames(_ names: [String]) -> [String] {
        counted(names.map { String($0.map { $0 == "/" ? "-" : $0 }) })
    }

    /// The names, with the lowest number behind those that others have already that makes them another.
    private static func counted(_ names: [String]) -> [String] {
        var taken = Set(names)
        var seen: Set<String> = []
        return names.map { name in
            if seen.insert(name).inserted { return name }
            var number = 2
            while !taken.insert("\(name)-\(number)").inserted { number += 1 }
            return "\(name)-\(number)"
        }
    }
}

extension FilePath {
    /// What a model at the path may be called, from the shortest to the path itself.
    fileprivate var modelNames: [String] {
        if let snapshot = HubSnapshot(containing: self) { return [modelName, snapshot.reference, string] }
        guard AdaptedPath(self) == nil else { return [modelName, string] }
        let folder = isStandardFile ? removingLastComponent() : self
        let parents = folder.components.dropLast().map(\.string)
        return (0...parents.count).map { (parents.suffix($0) + [modelName]).joined(separator: "/") } + [string]
    }
}
