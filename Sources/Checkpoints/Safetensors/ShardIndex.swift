import SystemPackage
import TensorCore

// Layout of a model.safetensors.index.json:
//
//     {"metadata": {"total_size": BYTES}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", ...}}
//
// `total_size` counts tensor bytes only, may be a float and may be missing. Shards lie beside the index.
// Source: transformers and huggingface_hub.

/// The index of a checkpoint that is split into several files.
struct ShardIndex {
    /// One line of the weight map.
    struct Place {
        let tensor: TensorName
        let shard: String
        let byteOffset: Int
    }

    let places: [Place]
    /// What the index says the tensors occupy; nil when it says nothing usable.
    let totalByteCount: Double?

    private static let byteCountLimit = 100_000_000

    /// Reads an index and checks its structure and the names of its shards; no shard is opened.
    ///
    /// - Throws: `FormatError` `bad_index`, `path_traversal`, or what `JSONDocument.parse` throws.
    init(reading path: FilePath) throws {
        let file = try MappedFile(path)
        guard file.byteCount <= Self.byteCountLimit else {
            throw FormatError(
                .headerTooLarge,
                "the index has \(file.byteCount) bytes; at most \(Self.byteCountLimit) are allowed", file: path)
        }
        let root = try file.withUnsafeBytes { bytes throws(FormatError) in try JSONDocument.parse(bytes, file: path) }
        guard root.kind == .object else {
            throw FormatError(.badIndex, "the index is \(root.kind.phrase), not an object", file: path, byteOffset: 0)
        }
        guard let weightMap = root["weight_map"] else {
            throw FormatError(.badIndex, "the index has no `weight_map`", file: path, byteOffset: root.byteOffset)
        }
        guard let members = weightMap.object else {
            throw FormatError(
                .badIndex, "`weight_map` is \(weightMap.kind.phrase), not an object", file: path,
                byteOffset: weightMap.byteOffset)
        }
        var places: [Place] = []
        for member in members {
            let tensor = TensorName(member.key)
            guard let shard = member.value.string else {
                throw FormatError(
                    .badIndex, "`weight_map` has \(member.value.kind.phrase) for tensor \"\(tensor)\", not a file name",
                    file: path, tensor: tensor, byteOffset: member.value.byteOffset)
            }
            guard Self.isPlainFileName(shard) else {
                throw FormatError(
                    .pathTraversal,
                    "`weight_map` names the file \"\(shard.escapingControlCharacters)\" for tensor \"\(tensor)\"; "
                        + "shards must lie beside the index",
                    file: path, tensor: tensor, byteOffset: member.value.byteOffset)
            }
            places.append(Place(tensor: tensor, shard: shard, byteOffset: member.value.byteOffset))
        }
        self.places = places
        totalByteCount = root["metadata"]?["total_size"]?.double
    }

    /// The format of the parts by their names: PyTorch's if all of them say so.
    var format: FormatID {
        let names = Set(places.map(\.shard))
        let areTorch = !names.isEmpty && names.allSatisfy { CheckpointFormat.named(FilePath($0))?.id == .torch }
        return areTorch ? .torch : .safetensors
    }

    /// Whether a text names a file in the same folder on every system.
    private static func isPlainFileName(_ name: String) -> Bool {
        guard !name.isEmpty, name != ".", !name.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { return false }
        return !name.contains("..") && !name.utf8.contains { "/\\:".utf8.contains($0) }
    }

    /// The text of an index, keys sorted as transformers writes them.
    ///
    /// - Parameter places: the file of each tensor.
    static func text(totalByteCount: Int, places: [(tensor: TensorName, shard: String)]) -> [UInt8] {
        var json = Array("{\n  \"metadata\": {\n    \"total_size\": \(totalByteCount)\n  },\n  \"weight_map\": {".utf8)
        for (position, place) in places.sorted(by: { $0.tensor < $1.tensor }).enumerated() {
            json.append(contentsOf: (position == 0 ? "\n    " : ",\n    ").utf8)
            JSONEscapes.append(place.tensor.text, to: &json)
            json.append(contentsOf: ": ".utf8)
            JSONEscapes.append(place.shard, to: &json)
        }
        json.append(contentsOf: "\n  }\n}\n".utf8)
        return json
    }
}
