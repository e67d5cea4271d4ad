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
        if let trace { try makeFolder(trace.removingLastComponent()) }
        let traceOutput = try trace.map { try AtomicOutput(creating: $0, byteCount: nil, options: options) }
        var job = ResolveJob(
            try experts.expertSet(in: session), auxiliary: resolver.source,
            options: resolver.options, output: output,
            write: options)
        job.format = format
        job.resumption = resuming.resumption
        job.only = onlyExpert.isEmpty ? nil : onlyExpert
        let adapted = try job.run(in: session.context)
        if let traceOutput {
            try traceOutput.write(Array(csv(of: adapted).utf8), at: 0)
            try traceOutput.commit()
        }
        if session.json {
            try session.print(["experts": .array(adapted.map(\.json))] as JSONOutput)
        } else {
            try session.print(table(of: adapted))
        }
        return .done
    }

    private func table(of adapted: [AdaptedExpert]) -> String {
        var table = Table([
            .init("expert"), .init("steps", .right), .init("time", .right), .init("loss", .right),
            .init("preservation", .right), .init("interference", .right), .init("output"),
        ])
        for expert in adapted {
            let trace = expert.training?.trace ?? []
            func change(_ value: (ResolverStep) -> Double) -> String {
                guard let first = trace.first, let last = trace.last else { return "-" }
                return "\(value(first).decimals(4)) -> \(value(last).decimals(4))"
            }
            let steps = expert.training.map { training in
                trace.count.grouped + (training.resumedAt.map { ", from \($0.grouped)" } ?? "")
            }
            table.append([
                expert.name, steps ?? "done", expert.training?.duration.readable ?? "-", change(\.loss),
                change(\.preservation), change(\.interference), expert.path?.string ?? "",
            ])
        }
        return table.rendered()
    }

    private func csv(of adapted: [AdaptedExpert]) -> String {
        var text = "expert,step,loss,preservation,interference\n"
        for expert in adapted {
            let name = expert.name.contains { "\",\n".contains($0) } ? expert.name.quotedForCSV : expert.name
            for step in expert.training?.trace ?? [] {
                text += "\(name),\(step.step + 1),\(step.loss),\(step.preservation),\(step.interference)\n"
            }
        }
        return text
    }
}

extension String {
    /// The text in quotes, with quotes inside doubled (RFC 4180).
    fileprivate var quotedForCSV: String {
        "\"" + split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
