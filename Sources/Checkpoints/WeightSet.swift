import SystemPackage
import TensorCore

/// One checkpoint of a folder: a file by itself, or an index with its parts.
struct WeightSet: Hashable {
    let name: String
    /// The name without what the format adds, with the variant: `model` of `model.safetensors` and of its index, `model.fp16`
    /// of `model.fp16.safetensors` and `model.safetensors.index.fp16.json`.
    private let stem: String
    private let isIndex: Bool
    private let format: FormatID
    private var isSafetensors: Bool { format == .safetensors }

    /// Reads what a file name says.
    ///
    /// - Returns: nil for what is no checkpoint, or only a part of one.
    init?(_ name: String) {
        self.name = name
        if let index = ShardIndexName(name) {
            (stem, isIndex, format) = (index.stem, true, index.format == "bin" ? .torch : .safetensors)
        } else {
            let file = FilePath(name)
            guard let format = CheckpointFormat.named(file), !Self.isTrainingState(name) else { return nil }
            if let part = ShardName(name), !format.findsParts || part.number != 1 { return nil }
            (stem, isIndex, self.format) = (file.stem ?? name, false, format.id)
        }
    }

    /// Whether a file is one of those that training leaves behind beside a model.
    static func isTrainingState(_ name: String) -> Bool {
        CheckpointFormat.named(FilePath(name))?.id == .torch
            && ["training_args", "optimizer", "scheduler", "rng_state", "scaler"].contains(where: name.hasPrefix)
    }

    /// How late a format is looked at: PyTorch's files after those that map, GGUF, which is made of others, last.
    private var rank: Int {
        switch format {
        case .safetensors, .npz, .npy, .skein: 0
        case .torch: 1
        case .gguf: 2
        }
    }

    /// The checkpoints among the files of a folder, indices first; those of a format that is looked at late only where there are
    /// no others.
    static func all(among names: [String]) -> [WeightSet] {
        let all = names.compactMap(WeightSet.init)
        let first = all.map(\.rank).min()
        let sets = all.filter { $0.rank == first }
        return sets.filter(\.isIndex) + sets.filter { !$0.isIndex }
    }

    /// The one that a folder stands for: `model.safetensors`, else its index, else `pytorch_model.bin` or its index, as in
    /// transformers; else the only one, or the only one of which the others are variants. Of a file and an index of the same weights it is the file.
    static func standard(among sets: [WeightSet]) -> WeightSet? {
        for name in [
            "model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json",
        ] {
            if let set = sets.first(where: { $0.name == name }) { return set }
        }
        let plain = sets.filter { set in !sets.contains { set.gives(wayTo: $0) } }
        return plain.count == 1 ? plain[0] : nil
    }

    private func gives(wayTo other: WeightSet) -> Bool {
        guard isSafetensors, other.isSafetensors else { return false }
        return stem.hasPrefix(other.stem + ".") || stem == other.stem && isIndex && !other.isIndex
    }

    /// What is warned of when one is taken and there are others.
    static func warning(taking taken: WeightSet, among sets: [WeightSet], in folder: FilePath) -> Warning? {
        let others = sets.filter { $0 != taken && $0.isSafetensors }.map(\.name)
        guard !others.isEmpty else { return nil }
        let shown = 5
        let list = others.prefix(shown).joined(separator: ", ") + (others.count > shown ? ", ..." : "")
        return Warning(
            FormatWarning.otherWeights,
            "the folder \(folder.string) holds \(taken.name) and \(list); \(taken.name) is taken, as in transformers: name "
                + "another file to work on it")
    }

    /// The cells of a table. Tensors are counted where only a header has to be read.
    ///
    /// - Parameter subfolder: what goes before the name.
    func row(in folder: FilePath, subfolder: FilePath = "") -> [String] {
        let file = folder.pushing(subfolder).appending(name)
        var files = [file]
        var tensorCount: Int?
        if isIndex {
            if let index = try? ShardIndex(reading: file) {
                files = Set(index.places.map(\.shard)).map { file.removingLastComponent().appending($0) }
                tensorCount = index.places.count
            }
        } else if isSafetensors {
            tensorCount = (try? SafetensorsReader(opening: file))?.descriptors.count
        }
        let sizes = files.map { FileStatus(of: $0)?.byteCount }
        let missing = sizes.count { $0 == nil }
        let byteCount = sizes.reduce(0) { $0.addingReportingOverflow($1 ?? 0).partialValue }
        return [
            subfolder.appending(name).string, format.rawValue,
            "\(files.count)" + (missing > 0 ? " (\(missing) missing)" : ""), tensorCount.map(String.init) ?? "-",
            "\(byteCount)",
        ]
    }

    static let columns = ["name", "format", "files", "tensors", "bytes"]
}
