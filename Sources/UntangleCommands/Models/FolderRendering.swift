import ModelFolders
import Reporting
import TensorCore

extension FolderReport {
    /// What people are told of a folder that was written.
    var text: String {
        func list(_ names: [String]) -> String { names.map(\.escapingControlCharacters).joined(separator: ", ") }
        var text = ""
        if !copied.isEmpty { text += "copied from \(donor.escapingControlCharacters): \(list(copied))\n" }
        if !leftOut.isEmpty { text += "left out: \(list(leftOut))\n" }
        if let configChanges, !configChanges.isEmpty { text += "config.json: \(list(configChanges))\n" }
        let ratios = sanity.inputs.compactMap { input in
            input.ratio.map { "\($0.short(4)) of \(input.name.escapingControlCharacters)" }
        }
        return ratios.isEmpty ? text : text + "norm of the result: \(ratios.joined(separator: ", "))\n"
    }

    var json: JSONOutput {
        [
            "donor": .string(donor),
            "copied": .strings(copied),
            "left_out": .strings(leftOut),
            "config_changes": configChanges.map(JSONOutput.strings) ?? .null,
            "sanity": [
                "nan": .integer(sanity.nanCount),
                "inf": .integer(sanity.infinityCount),
                "overflows": .integer(sanity.overflowCount),
                "norm": .number(sanity.norm),
                "inputs": .array(
                    sanity.inputs.map {
                        [
                            "name": .string($0.name), "norm": .number($0.norm),
                            "ratio": $0.ratio.map(JSONOutput.number) ?? .null,
                        ]
                    }),
                "least": sanity.least?.json ?? .null,
                "most": sanity.most?.json ?? .null,
            ],
        ]
    }
}

extension MergeSanity.TensorRatio {
    fileprivate var json: JSONOutput { ["tensor": .string(tensor.text), "ratio": .number(ratio)] }
}
