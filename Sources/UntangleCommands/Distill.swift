import ArgumentParser
import Checkpoints
import Interference
import Reporting
import SystemPackage
import Work
import Workflow

/// Trains a merged model on what its experts say.
struct Distill: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a merged model to say what its experts say.",
        discussion: """
            On unlabelled auxiliary inputs, the merged model is trained so that its outputs under every head become those \
            of the head's expert: the loss is the interference of the merged model on these inputs. Any merge will do, of \
            experts as they are or of adapted ones; the teachers are the experts as they are. Writes one checkpoint with the \
            tensors and types of the merged model. With --save-every a run that was interrupted, even killed, goes on with \
            --resume to the same bytes.

            Example:
              untangle merge --method tsv_m --base Fixtures/suites/tiny/base.safetensors \\
                Fixtures/suites/tiny/expert_digits.safetensors \\
                Fixtures/suites/tiny/expert_latin_lower.safetensors --output out/merged.safetensors
              untangle distill out/merged.safetensors --base Fixtures/suites/tiny/base.safetensors \\
                --expert digits=Fixtures/suites/tiny/expert_digits.safetensors \\
                --expert latin=Fixtures/suites/tiny/expert_latin_lower.safetensors \\
                --head digits=Fixtures/suites/tiny/heads_digits.safetensors \\
                --head latin=Fixtures/suites/tiny/heads_latin_lower.safetensors \\
                --auxiliary Fixtures/suites/tiny/aux_mixed.npz --output out/distilled.safetensors
            """)

    @Argument(help: "The merged checkpoint.")
    var merged: CheckpointSource

    @OptionGroup var experts: ExpertOptions
    @OptionGroup var resolver: ResolverFlags

    @Option(
        help: ArgumentHelp("Where the result goes; its extension tells the format.", valueName: "file"),
        completion: .file())
    var output: String

    @Option(help: "The format of the output, when its extension does not tell.")
    var format: FormatID?

    @OptionGroup var tracing: TraceOptions
    @OptionGroup var resuming: ResumeOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        try experts.checkHeads()
        let settings = resolver.options()
        guard let source = try resolver.source(for: settings) else { preconditionFailure("distilling takes steps") }
        let options = writing.writeOptions()
        let place = try OutputPlace(argument: output)
        guard !place.isFolder else {
            throw UsageError("distill writes one file, and \(output) is a folder", hint: "--output FILE.safetensors")
        }
        let target = try OutputTarget(place, format: format, options: options)
        let reports = try reporting.targets(options: options)
        let trace = try tracing.begin(beside: reports, options: options) { isSamePlace($0, target.path) }
        let set = try experts.expertSet(in: session)
        var job = DistillJob(
            set, of: .checkpoint(try experts.open(merged: merged, of: set, in: session)), auxiliary: source,
            options: settings, target: target)
        if case .file(let path) = source { session.reads(path) }
        job.resumption = resuming.resumption
        if !resuming.resume { try target.check() }
        let models = [try session.run(job)]
        try trace?.commit(models.trace("trace", of: .merged))
        var report = Report(
            title: "Distilling",
            sections: [.table(models.table("models", of: .merged)), .series(models.trace(nil, of: .merged))])
        report.summary = models.summary
        try session.print(report, to: reports)
        return .done
    }
}
