import Reporting
import TensorCore

extension Sequence<NonFiniteTensor> {
    /// The list that documents have under `not_finite`.
    var table: Report.Table {
        Report.Table(
            "not_finite", ["model", "file", "tensor", "nan", "inf"].map { Report.Column($0, nil) },
            rows: map {
                [
                    .text($0.model), .text($0.file), .text($0.tensor.text), .integer($0.count.nan),
                    .integer($0.count.infinite),
                ]
            })
    }
}
