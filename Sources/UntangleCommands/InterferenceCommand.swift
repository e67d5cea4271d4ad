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
            Labels are not needed; where there are some, accuracies are shown. Beside them, for telling harmful drift from \
            harmless: the share of inputs on which both choose the same class, and the similarity (CKA) of their features. \
            Intervals hold the value over all inputs of the kind in 95 % of samples.

            Example:
              untangle interference --base Fixtures/suites/tiny/base.safetensors \\
                --expert digits=Fixtures/suites/tiny/expert_digits.safetensors \\
                --expert latin=Fixtures/suites/tiny/expert_latin_lower.safetensors \\
                --head digits=Fixtures/suites/tiny/heads_digits.safetensors \\
                --head latin=Fixtures/suites/tiny/heads_latin_lower.safetensors \\
                --data digits=Fixtures/suites/tiny/test_digits.npz \\
                --data latin=Fixtures/suites/tiny/test_latin_lower.npz \\
                --method task_arithmetic --set lambda=0.5 --matrix --estimates
            """)

    @OptionGroup var experts: ExpertOptions

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp(
            """
            The inputs of an expert's task: a folder, .tar or .zip of pictures, a .txt, .tsv or .jsonl of texts, an .npz with "images" \
            [N, C, H, W] or "input_ids" [N, T]; repeatable.
            """,
            valueName: "name=data")
    )
    var data: [NamedFile] = []

    @Option(help: ArgumentHelp("The merged model.", valueName: "checkpoint"))
    var merged: CheckpointSource?

    @Option(help: ArgumentHelp("Merge the experts with this method instead.", valueName: "method"))
    var method: String?

    @OptionGroup var parameters: MergeParameterOptions

    @Option(
        parsing: .singleValue,
        help: "How outputs are compared; repeatable, all from one pass over the inputs. The first is that of the total."
    )
    var distance = [Distance.kl]

    @Flag(help: "Add the drift that each single expert causes on each other task.")
    var matrix = false

    @Flag(
        help: """
            Add what weights alone say: cosines, sign conflicts, the overlap of subspaces, and which share of merged \
            directions is counted twice, for pairs of experts and for the merged model.
            """)
    var estimates = false

    @Option(
        help: ArgumentHelp(
            "Write distances, agreement and hits of every input as CSV, for paired tests between models.",
            valueName: "file"))
    var perInput: FilePath?

    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard (merged == nil) != (method == nil) else {
            throw ValidationError("give either --merged CHECKPOINT or --method METHOD")
        }
    }

    func run(in session: Session) throws -> ExitStatus {
        let options = writing.writeOptions()
        let reports = try reporting.targets(options: options)
        if let perInput, reports.contains(where: { isSamePlace($0.path, perInput) }) {
            throw UsageError("--per-input and --report are one file, \(perInput.string)")
        }
        guard !data.isEmpty else {
            throw UsageError("there is no data to measure on", hint: "add --data NAME=FILE for the tasks")
        }
        let names = experts.expert.map(\.name)
        if matrix, let name = names.first(where: { data.file(named: $0) == nil }) {
            throw UsageError(
                "--matrix has a row for every task, and \(name) has no data", hint: "add --data \(name)=FILE")
        }
        if let twice = distance.indices.first(where: { distance[..<$0].contains(distance[$0]) }) {
            throw UsageError("--distance \(distance[twice].rawValue) is given twice", hint: "give each distance once")
        }
        try data.check("--data", among: names)
        try experts.checkHeads(of: data.map(\.name))
        let perInputOutput = try perInput.map { try AtomicOutput(creating: $0, byteCount: nil, options: options) }
        let set = try experts.expertSet(data: data, in: session)
        let merged = try mergedModel(of: set, session)
        let samples = set.experts.compactMap(\.data).reduce(0) { $0 + $1.inputs.count }
        session.progress.begin(
            "measuring",
            total: TaskMeasurement.inputCount(of: set, measuresBase: false) + samples * (matrix ? names.count : 1),
            unit: .items("inputs"))
        defer { session.progress.end() }
        let measurement = try TaskMeasurement(
            set, measuresBase: false, budget: session.budget, progress: session.progress)
        let drift = try measurement.drift(of: merged, distances: distance)
        let matrices = matrix ? try measurement.matrices(of: set, distances: distance) : []
        session.progress.end()
        let estimated =
            estimates
            ? try session.run(EstimateJob(set, merged: merged, in: session.context))
            : nil
        let measured = InterferenceReport(
            drift: drift, matrices: matrices, estimates: estimated, names: set.experts.map(\.name))
        if let perInputOutput {
            let inputs = Report(title: "Inputs", sections: [.table(measured.inputs)])
            try perInputOutput.write(Array(inputs.csv.utf8), at: 0)
            try perInputOutput.commit()
        }
        try session.print(measured.report, to: reports)
        return .done
    }

    private func mergedModel(of set: ExpertSet, _ session: Session) throws -> TensorStore {
        if let merged { return try experts.open(merged: merged, of: set, in: session) }
        let job = try MergeJob(
            method: method ?? "", base: set.base, experts: set.experts.map { (name: $0.name, store: $0.store) },
            parameters: try parameters.parameters(), in: session.context)
        let outcome = try session.run(job)
        outcome.report.warnings.forEach(session.warn)
        return try outcome.open()
    }
}
