import Reporting
import TensorCore

extension Sequence<NonFiniteTensor> {
    /// The list that `--json` has under `not_finite`.
    var json: JSONOutput {
        .array(
            map {
                [
                    "model": .string($0.model), "file": .string($0.file), "tensor": .string($0.tensor.text),
                    "nan": .integer($0.count.nan), "inf": .integer($0.count.infinite),
                ]
            })
    }
}
