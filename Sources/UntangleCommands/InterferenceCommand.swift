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

    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard (merged == nil) != (method == nil) else {
            throw ValidationError("give either --merged CHECKPOINT or --method METHOD")
        }
    }

    func run(in session: Session) throws -> ExitStatus {
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
        let stage = try TaskMeasurement(set, budget: session.budget)
        let result = try stage.measure(try mergedModel(of: set, session), distance: distance)
        let drift = matrix ? try stage.matrix(of: set, distance: distance) : nil
        if session.json {
            try session.print(json(of: result, drift: drift, names: set.experts.map(\.name)))
        } else {
            try session.print(text(of: result, drift: drift, names: set.experts.map(\.name)))
        }
        return .done
    }

    private func mergedModel(of set: ExpertSet, _ session: Session) throws -> TensorStore {
        if let merged {
            return try TensorStore(opening: merged, options: session.context.reading(sharedBase: experts.base))
        }
        let job = try MergeJob(
            method: method ?? "", base: set.base, experts: set.experts.map { (name: $0.name, store: $0.store) },
            parameters: try parameters.parameters(), in: session.context)
        let outcome = try job.run(in: session.context)
        outcome.report.warnings.forEach(session.warn)
        return try outcome.open()
    }

    private func json(of result: CrossTaskInterference, drift: [[Double]]?, names: [String]) -> JSONOutput {
        let tasks = result.tasks.map { task in
            ([
                "name": .string(task.name), "interference": .number(task.interference),
                "samples": .integer(task.samples),
            ] as JSONOutput)
            .adding("accuracy_expert", task.expertAccuracy.map(JSONOutput.number))
            .adding("accuracy_merged", task.mergedAccuracy.map(JSONOutput.number))
        }
        let matrix = drift.map { drift in
            [
                "rows": .strings(names), "columns": .strings(names),
                "values": .array(drift.map { .array($0.map(JSONOutput.number)) }),
            ] as JSONOutput
        }
        return
            ([
                "distance": .string(distance.rawValue), "total": .number(result.total), "tasks": .array(tasks),
            ] as JSONOutput).adding("matrix", matrix)
    }

    private func text(of result: CrossTaskInterference, drift: [[Double]]?, names: [String]) -> String {
        let hasAccuracy = result.tasks.contains { $0.mergedAccuracy != nil }
        func percent(_ share: Double?) -> String { share?.percent ?? "-" }
        var table = Table(
            [.init("task"), .init("samples", .right), .init("interference", .right)]
                + (hasAccuracy ? [.init("expert", .right), .init("merged", .right)] : []))
        for task in result.tasks {
            table.append(
                [task.name, task.samples.grouped, task.interference.decimals(4)]
                    + (hasAccuracy ? [percent(task.expertAccuracy), percent(task.mergedAccuracy)] : []))
        }
        table.append(["total", "", result.total.decimals(4)] + (hasAccuracy ? ["", ""] : []))
        guard let drift else { return table.rendered() }
        var matrix = Table([.init("on \\ from")] + names.map { .init($0, .right) })
        for (name, row) in zip(names, drift) { matrix.append([name] + row.map { $0.decimals(4) }) }
        return table.rendered() + "\n" + matrix.rendered()
    }
}
