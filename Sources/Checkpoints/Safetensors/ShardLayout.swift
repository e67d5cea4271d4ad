import SystemPackage
import TensorCore

/// How the tensors of a safetensors checkpoint are dealt to files: `model.safetensors`, or `model-00001-of-00002.safetensors`, …
package struct ShardLayout: Sendable {
    /// One file and its tensors, by position in the declared list.
    package struct Shard: Sendable {
        package let name: String
        package let tensors: [Int]
    }

    package let shards: [Shard]
    package let descriptors: [TensorDescriptor]
    private let stem: String

    /// Splits the tensors greedily in the order of a single file.
    ///
    /// - Parameters:
    ///   - limit: the most bytes of tensor data in a shard, nil for one file; a larger tensor gets a shard of its own.
    ///   - file: the single file, whose name the shards share.
    /// - Throws: `FormatError` when the format cannot hold the tensors.
    package init(_ descriptors: [TensorDescriptor], limit: Int?, file: FilePath) throws(FormatError) {
        let groups = try Self.split(descriptors, limit: limit ?? .max, file: file)
        let stem = file.stem ?? "model"
        shards = groups.enumerated().map { shard, tensors in
            let name =
                groups.count == 1
                ? "\(stem).safetensors" : ShardName(stem: stem, number: shard + 1, count: groups.count).text
            return Shard(name: name, tensors: tensors)
        }
        self.descriptors = descriptors
        self.stem = stem
    }

    private static func split(
        _ descriptors: [TensorDescriptor], limit: Int, file: FilePath
    ) throws(FormatError) -> [[Int]] {
        var total = 0
        for descriptor in descriptors {
            let (sum, overflow) = total.addingReportingOverflow(descriptor.byteCount)
            guard !overflow else {
                throw FormatError(.overflow, "the tensors are larger than 63 bits can count", file: file)
            }
            total = sum
        }
        var groups: [[Int]] = [[]]
        var byteCount = 0
        for tensor in try SafetensorsLayout.order(of: descriptors, file: file) {
            if !groups[groups.count - 1].isEmpty, descriptors[tensor].byteCount > limit - byteCount {
                groups.append([])
                byteCount = 0
            }
            groups[groups.count - 1].append(tensor)
            byteCount += descriptors[tensor].byteCount
        }
        return groups
    }

    /// For each declared tensor its shard and its position there.
    var places: [(shard: Int, tensor: Int)] {
        var places = [(shard: Int, tensor: Int)](repeating: (0, 0), count: descriptors.count)
        for (shard, file) in shards.enumerated() {
            for (position, tensor) in file.tensors.enumerated() { places[tensor] = (shard, position) }
        }
        return places
    }

    var isSplit: Bool { shards.count > 1 }
    var indexName: String { "\(stem).safetensors.index.json" }
    var indexText: [UInt8] {
        ShardIndex.text(
            totalByteCount: descriptors.reduce(0) { $0 + $1.byteCount },
            places: shards.flatMap { shard in shard.tensors.map { (descriptors[$0].name, shard.name) } })
    }
}
