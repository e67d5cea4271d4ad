import Analysis
import Checkpoints
import Reporting
import TensorCore

extension Inspection {
    /// The document whose keys docs and scripts rely on.
    var json: JSONOutput {
        let document: JSONOutput = [
            "path": .string(reader.path.string),
            "format": .string(reader.format.rawValue),
            "files": .strings(reader.files.map(\.string)),
            "metadata": .object(reader.metadata.entries.map { .init($0.key, .string($0.value)) }),
            "tensors": .array(tensors.map(\.json)),
            "totals": totals.json,
        ]
        return
            document
            .adding("base", base?.json)
            .adding("modules", modules.map { .array($0.modules.map(\.json)) })
            .adding("histogram", histogram.map { $0.histogram.json(name: $0.name) })
    }
}

extension Inspection.Base {
    fileprivate var json: JSONOutput {
        ["name": .string(name), "identity": .string(identity.description), "tensors": .integer(tensorCount)]
    }
}

extension Inspection.Tensor {
    fileprivate var json: JSONOutput {
        let document: JSONOutput = [
            "name": .string(descriptor.name.text),
            "dtype": .string(descriptor.dtype.rawValue),
            "shape": .integers(descriptor.shape.dims),
            "bytes": .integer(descriptor.byteCount),
        ]
        return
            document
            .adding("sha256", measurement.digest.map(JSONOutput.string))
            .adding("stats", measurement.statistics?.json)
    }
}

extension ModuleTree.Module {
    fileprivate var json: JSONOutput {
        guard case .object(let sums) = totals.json else { return totals.json }
        return .object([.init("name", .string(path))] + sums)
    }
}
