import Checkpoints
import Reporting
import TensorCore

extension Damage {
    /// As `verify` and `convert --salvage` print it.
    var json: JSONOutput {
        [
            "tensor": .optional(tensor?.text),
            "file": .string(file.string),
            "offset": .integer(offset),
            "bytes": .integer(byteCount),
            "reason": .string(reason),
        ]
    }

    /// A table with a line for each damaged place.
    static func table(_ damage: [Damage]) -> Table {
        var table = Table([
            .init("TENSOR"), .init("FILE"), .init("OFFSET", .right), .init("BYTES", .right), .init("DAMAGE"),
        ])
        for place in damage {
            table.append([
                place.tensor?.description ?? "-", place.file.string, place.offset.grouped, place.byteCount.grouped,
                place.reason,
            ])
        }
        return table
    }
}

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
