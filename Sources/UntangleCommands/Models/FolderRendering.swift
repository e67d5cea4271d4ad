import ModelFolders
import Reporting
import TensorCore

extension FolderReport {
    /// What people are told of a folder that was written.
    var lines: [String] {
        func line(_ title: String, _ items: [String]) -> [String] {
            items.isEmpty ? [] : ["\(title): \(items.joined(separator: ", "))"]
        }
        let ratios = sanity.inputs.compactMap { input in input.ratio.map { "\($0.short(4)) of \(input.name)" } }
        return line("copied from \(donor)", copied) + line("left out", leftOut)
            + line("config.json", configChanges ?? []) + line("norm of the result", ratios)
    }

    /// What documents have of it, under `folder`.
    var sections: [Report.Section] {
        [
            .facts([
                .init("folder.donor", .text(donor)), .init("folder.copied", .texts(copied)),
                .init("folder.left_out", .texts(leftOut)),
                .init("folder.config_changes", configChanges.map { .texts($0) } ?? .none),
                .init("folder.sanity.nan", .integer(sanity.nanCount)),
                .init("folder.sanity.inf", .integer(sanity.infinityCount)),
                .init("folder.sanity.overflows", .integer(sanity.losses.overflowCount)),
                .init("folder.sanity.underflows", .integer(sanity.losses.underflowCount)),
                .init("folder.sanity.norm", .number(sanity.norm)),
            ]),
            .table(
                Report.Table(
                    "folder.sanity.inputs", ["name", "norm", "ratio"].map { Report.Column($0, nil) },
                    rows: sanity.inputs.map { [.text($0.name), .init($0.norm), .init($0.ratio)] })),
            .facts([
                .init("folder.sanity.least", .init(sanity.least)), .init("folder.sanity.most", .init(sanity.most)),
            ]),
        ]
    }
}

extension Report.Value {
    fileprivate init(_ ratio: MergeSanity.TensorRatio?) {
        self =
            ratio.map { .facts([.init("tensor", .text($0.tensor.text)), .init("ratio", .number($0.ratio))]) } ?? .none
    }
}
