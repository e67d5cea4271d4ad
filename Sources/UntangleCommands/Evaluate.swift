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
    var checkpoint: CheckpointSource

    @Option(
        parsing: .singleValue, help: ArgumentHelp("The head of a task; repeatable.", valueName: "name=file"))
    var head: [NamedFile]

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            """
            Labelled inputs of a task: pictures in a folder for each class, also in a .tar or .zip, or with .cls members; a .tsv or .jsonl \
            of texts; an .npz with "images" [N, C, H, W] or "input_ids" [N, T], and "labels"; repeatable.
            """,
            valueName: "name=data"))
    var data: [NamedFile]

    @Option(
        help: ArgumentHelp(
            "The backbone's configuration (default: config.json or open_clip_config.json beside the checkpoint).",
            valueName: "file"))
    var config: FilePath?

    @OptionGroup var base: BaseOption
    @OptionGroup var place: SubfolderOption
    @OptionGroup var dataFlags: DataFlags
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
        let heads = try head.located(in: session)
        for file in data { session.reads(file.file) }
        let path = try session.locate(checkpoint, subfolder: place.subfolder)
        let base = try base.path(in: session, subfolder: place.subfolder)
        ConfigurationFiles.paths(of: path, config: config).forEach { session.reads($0) }
        let job = try EvaluateJob(
            path, config: config, base: base, data: dataFlags.options,
            tasks: data.map {
                ExpertFiles(
                    name: $0.name, checkpoint: path, head: heads.file(named: $0.name), data: $0.file)
            }, in: session.context)
        let accuracies = try session.run(job)
        try session.print(report(of: accuracies), to: reports)
        return .done
    }

    private func report(of accuracies: [TaskAccuracy]) -> Report {
        let mean = accuracies.reduce(0) { $0 + $1.accuracy } / Double(accuracies.count)
        let intervals = accuracies.map { wilsonInterval(of: $0.accuracy, count: $0.samples) }
        var report = Report(
            title: "Accuracy of \(checkpoint.text)",
            sections: [
                .table(
                    Report.Table(
                        "tasks",
                        [
                            .init("name", "task"), .init(nil, "samples", .count), .init("accuracy", "accuracy", .share),
                            .init("samples", nil, .count), .init("interval", nil, .share),
                        ],
                        rows: zip(accuracies, intervals).map { task, interval in
                            [
                                .text(task.name), .integer(task.samples), .number(task.accuracy),
                                .integer(task.samples), .interval(interval),
                            ]
                        }, footer: [.text("mean"), .text(""), .number(mean), .text(""), .absent])),
                .facts([.init("mean_accuracy", .number(mean))]),
                .bars(
                    Report.Bars(
                        "Accuracy, with 95 % intervals", title: "task", labels: accuracies.map(\.name), kind: .share,
                        groups: [.init("accuracy", accuracies.map(\.accuracy), intervals: intervals)])),
            ])
        let sorted = accuracies.sorted { $0.accuracy < $1.accuracy }
        if let worst = sorted.first, let best = sorted.last, mean.isFinite, worst.accuracy < best.accuracy {
            report.summary = [
                "The mean accuracy is \(mean.percent): from \(worst.accuracy.percent) on \(worst.name) to "
                    + "\(best.accuracy.percent) on \(best.name)."
            ]
        }
        return report
    }
}
