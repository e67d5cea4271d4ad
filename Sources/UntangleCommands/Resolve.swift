import ArgumentParser
import Checkpoints
import Interference
import Reporting
import SystemPackage
import Workflow

/// Adapts experts with Resolving Interference.
struct Resolve: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Adapt experts so that they interfere less when merged.",
        discussion: """
            Resolving Interference (arXiv 2603.13467): on unlabelled auxiliary inputs, each expert is trained to keep its \
            outputs under its own head and to leave the outputs under every other head as the base's. Writes one \
            checkpoint per expert, in the format and types of the original. With --save-every a run that was interrupted, \
            even killed, goes on with --resume to the same bytes.

            Example:
              untangle resolve --base Fixtures/suites/tiny/base.safetensors \\
                --expert digits=Fixtures/suites/tiny/expert_digits.safetensors \\
                --expert latin=Fixtures/suites/tiny/expert_latin_lower.safetensors \\
                --head digits=Fixtures/suites/tiny/heads_digits.safetensors \\
                --head latin=Fixtures/suites/tiny/heads_latin_lower.safetensors \\
                --auxiliary Fixtures/suites/tiny/aux_mixed.npz --output out/resolved
            """)

    @OptionGroup var experts: ExpertOptions
    @OptionGroup var interference: InterferenceFlags
    @OptionGroup var resolver: ResolverFlags

    @Option(help: ArgumentHelp("The folder that gets NAME.EXT for each expert.", valueName: "dir"))
    var output: FilePath

    @Option(help: "The format of the outputs (default: that of each expert).")
    var format: FormatID?

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("Adapt only this expert; repeatable. The heads of all count.", valueName: "name"))
    var onlyExpert: [String] = []

    @OptionGroup var tracing: TraceOptions
    @OptionGroup var resuming: ResumeOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        let settings = resolver.options(from: interference.options)
        let source = try resolver.source(for: settings)
        if settings.match == .logits { try experts.checkHeads() }
        let names = experts.expert.map(\.name)
        if let name = onlyExpert.first(where: { !names.contains($0) }) {
            throw UsageError(
                "--only-expert \(name) is no expert", hint: "the experts are \(names.joined(separator: ", "))")
        }
        let options = writing.writeOptions()
        let reports = try reporting.targets(options: options)
        guard settings.solver == .train || tracing.trace == nil else {
            throw UsageError(
                "--trace writes the loss of every step, and --solver \(settings.solver.rawValue) takes none")
        }
        let trace = try tracing.begin(beside: reports, options: options) { trace in
            isSamePlace(trace.removingLastComponent(), output) && names.contains(trace.stem ?? "")
        }
        var job = ResolveJob(
            try experts.expertSet(in: session), auxiliary: source, options: settings, output: output,
            write: options)
        if case .file(let path) = source { session.reads(path) }
        job.format = format
        job.resumption = resuming.resumption
        job.only = onlyExpert.isEmpty ? nil : onlyExpert
        let adapted = try session.run(job)
        try trace?.commit(adapted.trace("trace"))
        let isTrained = settings.solver == .train
        var report = Report(
            title: "Resolving Interference",
            sections: [.table(adapted.table("experts"))] + (isTrained ? [.series(adapted.trace(nil))] : []))
        report.summary = adapted.summary
        try session.print(report, to: reports)
        return .done
    }
}
