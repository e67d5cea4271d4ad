import ArgumentParser
import Checkpoints
import Reporting
import SystemPackage
import Workflow

/// Carries out a whole recipe.
struct Run: ToolCommand {
    static let configuration = CommandConfiguration(
        abstract: "Resolve, merge, measure and write, as one recipe says.",
        discussion: """
            Prints a table: for each task the accuracy of base, expert, merged model without and with Resolving \
            Interference, and the interference before and after. Resolving and merging are skipped where an earlier run \
            has done them with the same inputs and settings; --force does them again.

            Example:
              untangle run Fixtures/demo.yaml
            """)

    @Argument(help: "A recipe in YAML.")
    var recipe: FilePath

    @OptionGroup var reading: RecipeOptions
    @OptionGroup var resuming: ResumeOptions
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: OutputOptions
    @OptionGroup var shared: SharedOptions

    func run(in session: Session) throws -> ExitStatus {
        let book = try reading.book(recipe, in: session)
        let recipe = book.final
        if let resolve = recipe.resolve, recipe.resolvedFolder == nil,
            resuming.resumption.keepsState || resolve.saveEvery != nil
        {
            throw UsageError(
                "there is no folder to keep states in, because the recipe writes no adapted experts",
                hint: "add output: FILE to the recipe, or output: FOLDER to its resolve")
        }
        var run = RunJob(recipe, write: writing.writeOptions())
        run.resumption = resuming.resumption
        run.reports = reporting.report
        let context = session.context
        let merges = try IntermediateMerges(of: book, write: run.write, in: context)
        try merges.carryOut(in: session) { try run.check(after: merges, unfinished: $0, in: context) }
        let report = try run.run(in: context)
        session.progress.end()
        // A run that had nothing left to do knows less than the report of the run that did it.
        let targets = try run.reportTargets().filter { report.didWork || !fileExists($0.path) }
        try session.print(report.report, to: targets)
        return .done
    }
}
