import ArgumentParser
import Interference
import Workflow

/// How an adaptation is kept on the way and gone on with.
struct ResumeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Keep the state of an expert every n steps, so that --resume can go on after an interruption.",
            valueName: "n"))
    var saveEvery: Int?

    @Flag(
        help: "Take finished experts as done, and go on from the states of an interrupted run, to the same bytes.")
    var resume = false

    var resumption: Resumption { Resumption(saveEvery: saveEvery, resumes: resume) }

    func validate() throws {
        let intervals = Resolver.Saving.intervals
        guard saveEvery.map(intervals.contains) ?? true else {
            throw ValidationError("--save-every must lie between \(intervals.lowerBound) and \(intervals.upperBound)")
        }
    }
}
