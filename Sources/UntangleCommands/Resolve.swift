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
    @OptionGroup var resolver: ResolverFlags

    @Option(help: ArgumentHelp("The folder that gets NAME.EXT for each expert.", valueName: "dir"))
    var output: FilePath

    @Option(help: "The format of the outputs (default: that of each expert).")
    var format: FormatID?

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("Adapt only this expert; repeatable. The heads of all count.", valueName: "name"))
    var onlyExpert: [String] = []

    @Option(help: ArgumentHelp("Write the loss of every step as CSV.", valueName: "file"))
    var trace: FilePath?

    @OptionGroup var resuming: ResumeOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        try experts.checkHeads()
        let names = experts.expert.map(\.name)
        if let name = onlyExpert.first(where: { !names.contains($0) }) {
            throw UsageError(
                "--only-expert \(name) is no expert", hint: "the experts are \(names.joined(separator: ", "))")
        }
        let options = writing.writeOptions()
        let reports = try reporting.targets(options: options)
        if let trace {
            let folder = trace.removingLastComponent()
            guard !isSamePlace(folder, output) || !names.contains(trace.stem ?? "") else {
                throw UsageError("--trace \(trace.string) is where an adapted expert goes")
            }
            guard !reports.contains(where: { isSamePlace($0.path, trace) }) else {
                throw UsageError("--trace and --report are one file, \(trace.string)")
            }
            try makeFolder(folder)
        }
        let traceOutput = try trace.map { try AtomicOutput(creating: $0, byteCount: nil, options: options) }
        var job = ResolveJob(
            try experts.expertSet(in: session), auxiliary: resolver.source,
            options: resolver.options, output: output,
            write: options)
        if case .file(let path) = resolver.source { session.reads(path) }
        job.format = format
        job.resumption = resuming.resumption
        job.only = onlyExpert.isEmpty ? nil : onlyExpert
        let adapted = try session.run(job)
        if let traceOutput {
            let trace = Report(title: "Losses", sections: [.series(adapted.trace("trace"))])
            try traceOutput.write(Array(trace.csv.utf8), at: 0)
            try traceOutput.commit()
        }
        var report = Report(
            title: "Resolving Interference",
            sections: [.table(adapted.table("experts")), .series(adapted.trace(nil))])
        report.summary = adapted.summary
        try session.print(report, to: reports)
        return .done
    }
}
