import ArgumentParser
import Checkpoints
import Experts
import Interference
import Kernels
import Merging
import Reporting
import SystemPackage
import TensorCore
import Workflow

/// Measures the cross-task interference of a merged model.
struct InterferenceCommand: ToolCommand {
    static let configuration = CommandConfiguration(
        commandName: "interference",
        abstract: "Measure how far a merged model is from its experts.",
        discussion: """
            For each task, the mean distance on the task's inputs between the expert's outputs and the merged model's, \
            under the task's head, and their sum. The merged model is a checkpoint, or made on the spot with --method. \
            Labels are not needed; where there are some, accuracies are shown.

            Example:
              untangle interference --base Fixtures/suites/tiny/base.safetensors \\
                --expert digits=Fixtures/suites/tiny/expert_digits.safetensors \\
                --expert latin=Fixtures/suites/tiny/expert_latin_lower.safetensors \\
                --head digits=Fixtures/suites/tiny/heads_digits.safetensors \\
                --head latin=Fixtures/suites/tiny/heads_latin_lower.safetensors \\
                --data digits=Fixtures/suites/tiny/test_digits.npz \\
                --data latin=Fixtures/suites/tiny/test_latin_lower.npz \\
                --method task_arithmetic --set lambda=0.5 --matrix
            """)

    @OptionGroup var experts: ExpertOptions

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            "The inputs of an expert's task, an .npz with \"images\" [N, C, H, W]; repeatable.", valueName: "name=file")
    )
    var data: [NamedFile] = []

    @Option(help: ArgumentHelp("The merged model.", valueName: "checkpoint"))
    var merged: FilePath?

    @Option(help: ArgumentHelp("Merge the experts with this method instead.", valueName: "method"))
    var method: String?

    @OptionGroup var parameters: MergeParameterOptions

    @Option(help: "How outputs are compared.")
    var distance = Distance.kl

    @Flag(help: "Add the drift that each single expert causes on each other task.")
    var matrix = false

    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard (merged == nil) != (method == nil) else {
            throw ValidationError("give either --merged CHECKPOINT or --method METHOD")
        }
    }

    func run(in session: Session) throws -> ExitStatus {
        let reports = try reporting.targets(options: writing.writeOptions())
        guard !data.isEmpty else {
            throw UsageError("there is no data to measure on", hint: "add --data NAME=FILE for the tasks")
        }
        let names = experts.expert.map(\.name)
        if matrix, let name = names.first(where: { data.file(named: $0) == nil }) {
            throw UsageError(
                "--matrix has a row for every task, and \(name) has no data", hint: "add --data \(name)=FILE")
        }
        try data.check("--data", among: names)
        try experts.checkHeads(of: data.map(\.name))
        let set = try experts.expertSet(data: data, in: session)
        let merged = try mergedModel(of: set, session)
        let samples = set.experts.compactMap(\.data).reduce(0) { $0 + $1.inputs.count }
        session.progress.begin(
            "measuring", total: TaskMeasurement.inputCount(of: set) + samples * (matrix ? names.count : 1),
            unit: .items("inputs"))
        defer { session.progress.end() }
        let measurement = try TaskMeasurement(set, budget: session.budget, progress: session.progress)
        let result = try measurement.measure(merged, distance: distance)
        let drift = matrix ? try measurement.matrix(of: set, distance: distance) : nil
        session.progress.end()
        let report = report(of: result, drift: drift, names: set.experts.map(\.name))
        try session.print(report, to: reports)
        return .done
    }

    private func mergedModel(of set: ExpertSet, _ session: Session) throws -> TensorStore {
        if let merged {
            return try TensorStore(opening: merged, options: session.context.reading(sharedBase: experts.base))
        }
        let job = try MergeJob(
            method: method ?? "", base: set.base, experts: set.experts.map { (name: $0.name, store: $0.store) },
            parameters: try parameters.parameters(), in: session.context)
        let outcome = try session.run(job)
        outcome.report.warnings.forEach(session.warn)
        return try outcome.open()
    }

    private func report(of result: CrossTaskInterference, drift: [[Double]]?, names: [String]) -> Report {
        let hasAccuracy = result.tasks.contains { $0.mergedAccuracy != nil }
        let tasks = Report.Table(
            "tasks",
            [
                .init("name", "task"), .init(nil, "samples", .count),
                .init("interference", "interference", .decimals(4), gauge: .bar), .init("samples", nil, .count),
                .init("accuracy_expert", hasAccuracy ? "expert" : nil, .share),
                .init("accuracy_merged", hasAccuracy ? "merged" : nil, .share),
            ],
            rows: result.tasks.map { task in
                [
                    .text(task.name), .integer(task.samples), .number(task.interference), .integer(task.samples),
                    task.expertAccuracy.map(Report.Value.number) ?? .absent,
                    task.mergedAccuracy.map(Report.Value.number) ?? .absent,
                ]
            }, footer: [.text("total"), .text(""), .number(result.total), .text(""), .text(""), .text("")])
        let matrix = drift.map { drift in
            Report.Section.matrix(
                Report.Matrix(
                    "matrix", title: "on \\ from", kind: .decimals(4), rows: names, columns: names, values: drift))
        }
        return Report(
            title: "Cross-task interference", provenance: [.init("distance", .text(distance.rawValue))],
            sections: [.facts([.init("total", .number(result.total))]), .table(tasks)] + (matrix.map { [$0] } ?? []))
    }
}
