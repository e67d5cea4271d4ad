import Analysis
import Checkpoints
import ModelFolders
import Reporting
import SystemPackage
import TensorCore

/// What `inspect` found: the input of its report.
struct Inspection {
    struct Tensor: Sendable {
        /// The position in the reader.
        let index: Int
        let descriptor: TensorDescriptor
        let location: StoredLocation
        var measurement = TensorMeasurement()
    }

    /// What a .skein file was written against.
    struct Base {
        let name: String
        let identity: ContentHash
        /// The tensors that cannot be read without it.
        let tensorCount: Int
    }

    let reader: any CheckpointReader
    /// Those that hold the tensors, and not those that say what numbers codes stand for.
    let files: [FilePath]
    var tensors: [Tensor]
    /// What the whole checkpoint is, whatever of it is listed; nil when nothing is known of it.
    var model: ModelDescription?
    var modules: ModuleTree?
    var histogram: (name: TensorName, histogram: Histogram)?

    /// Nil for what stands by itself.
    var base: Base? {
        guard let skein = reader as? SkeinReader, let name = skein.baseFileName, let identity = skein.baseIdentity
        else {
            return nil
        }
        return Base(
            name: name, identity: identity, tensorCount: skein.descriptors.indices.count(where: skein.needsBase))
    }

    var totals: TensorTotals { TensorTotals(tensors.lazy.map(\.descriptor)) }

    /// Those of each type, the one with the most bytes first.
    var totalsByType: [(layout: ElementLayout, totals: TensorTotals)] {
        var totals: [ElementLayout: TensorTotals] = [:]
        for tensor in tensors { totals[tensor.descriptor.layout, default: TensorTotals()].add(tensor.descriptor) }
        return totals.sorted { (-$0.value.byteCount, $0.key.name) < (-$1.value.byteCount, $1.key.name) }
            .map { (layout: $0.key, totals: $0.value) }
    }
}

/// What can only be known by reading a tensor's data.
struct TensorMeasurement: Sendable {
    /// SHA-256 of the little-endian row-major bytes, in hexadecimal.
    var digest: String?
    /// Nil also for types that have no statistics.
    var statistics: TensorStatistics?
}
