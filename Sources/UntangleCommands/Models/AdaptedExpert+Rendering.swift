import Reporting
import TensorCore
import Workflow

extension AdaptedExpert {
    /// What is told of adapting one expert.
    var report: Report {
        let training = training.map {
            ($0.trace.isEmpty ? "solved" : "\($0.trace.count.grouped) steps") + " in \($0.duration.readable)"
        }
        return Report(
            title: "Resolving Interference",
            sections: [
                .table([self].table("experts").forDocuments),
                .text(["\(path?.string ?? ""): \(training ?? "done before")"]),
            ])
    }
}
