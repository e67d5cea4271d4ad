import Checkpoints
import Reporting
import TensorCore

extension [Damage] {
    /// A table with a line for each damaged place; people see none where there is no damage.
    func table(_ key: String) -> Report.Table {
        let table = Report.Table(
            key,
            [
                .init("tensor", "TENSOR"), .init("file", "FILE"), .init("offset", "OFFSET", .count),
                .init("bytes", "BYTES", .count), .init("reason", "DAMAGE"),
            ],
            rows: map { place in
                [
                    .init(place.tensor?.text), .text(place.file.string), .integer(place.offset),
                    .integer(place.byteCount), .text(place.reason),
                ]
            })
        return isEmpty ? table.forDocuments : table
    }
}
