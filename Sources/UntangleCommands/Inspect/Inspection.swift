import Analysis
import Checkpoints
import Reporting
import TensorCore

/// What `inspect` found: the input of its two renderings.
struct Inspection {
    struct Tensor: Sendable {
        /// The position in the reader.
        let index: Int
        let descriptor: TensorDescriptor
        let location: StoredLocation
        var measurement = TensorMeasurement()
    }

    let reader: any CheckpointReader
    var tensors: [Tensor]
    var modules: ModuleTree?
    var histogram: (name: TensorName, histogram: Histogram)?

    var totals: TensorTotals { TensorTotals(tensors.lazy.map(\.descriptor)) }
}

/// What can only be known by reading a tensor's data.
struct TensorMeasurement: Sendable {
    /// SHA-256 of the little-endian row-major bytes, in hexadecimal.
    var digest: String?
    /// Nil also for types that have no statistics.
    var statistics: TensorStatistics?
}
