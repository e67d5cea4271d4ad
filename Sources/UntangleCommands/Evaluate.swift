import ArgumentParser
import Checkpoints
import Experts
import Interference
import Networks
import Reporting
import SystemPackage
import TensorCore
import Workflow

/// Measures the accuracy of a backbone under task heads.
struct Evaluate: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure the accuracy of a backbone under task heads.",
        discussion: """
            Example:
              untangle evaluate Fixtures/suites/tiny/expert_digits.safetensors \\
                --head digits=Fixtures/suites/tiny/heads_digits.safetensors \\
                --data digits=Fixtures/suites/tiny/test_digits.npz
            """)

    @Argument(help: "The backbone.")
    var checkpoint: FilePath

    @Option(
        parsing: .singleValue, help: ArgumentHelp("The head of a task; repeatable.", valueName: "name=file"))
    var head: [NamedFile]

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "Labelled inputs of a task, an .npz with \"images\" [N, C, H, W] and \"labels\"; repeatable.",
            valueName: "name=file"))
    var data: [NamedFile]

    @Option(
        help: ArgumentHelp(
            "The backbone's configuration (default: config.json beside the checkpoint).", valueName: "file"))
    var config: FilePath?

    @OptionGroup var base: BaseOption
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        try head.check("--head")
        try data.check("--data")
        if let name = head.map(\.name).first(where: { data.file(named: $0) == nil }) {
            throw UsageError("task \(name) has a head but no data", hint: "add --data \(name)=FILE")
        }
        if let name = data.map(\.name).first(where: { head.file(named: $0) == nil }) {
            throw UsageError("task \(name) has data but no head", hint: "add --head \(name)=FILE")
        }
        let job = try EvaluateJob(
            checkpoint, config: config, base: base.base,
            tasks: data.map {
                ExpertFiles(
                    name: $0.name, checkpoint: checkpoint, head: head.file(named: $0.name), data: $0.file)
            }, in: session.context)
        let accuracies = try session.run(job)
        try session.print(report(of: accuracies), to: reports)
        return .done
    }

    private func report(of accuracies: [TaskAccuracy]) -> Report {
        let mean = Report.Value.number(accuracies.reduce(0) { $0 + $1.accuracy } / Double(accuracies.count))
        return Report(
            title: "Accuracy of \(checkpoint)",
            sections: [
                .table(
                    Report.Table(
                        "tasks",
                        [
                            .init("name", "task"), .init(nil, "samples", .count), .init("accuracy", "accuracy", .share),
                            .init("samples", nil, .count),
                        ],
                        rows: accuracies.map {
                            [.text($0.name), .integer($0.samples), .number($0.accuracy), .integer($0.samples)]
                        }, footer: [.text("mean"), .text(""), mean, .text("")])),
                .facts([.init("mean_accuracy", mean)]),
            ])
    }
}
