import Reporting
import TensorCore
import Workflow

extension KeptTeachers {
    /// What is told of computing the base's outputs.
    var report: Report {
        let note = duration.map { "computed in \($0.readable)" } ?? "done before"
        return Report(
            title: "Teachers",
            sections: [
                .facts([.init("output", .init(path?.string)), .init("skipped", .flag(duration == nil))]),
                .text(["\(path?.string ?? "teachers"): \(note)"]),
            ])
    }
}
