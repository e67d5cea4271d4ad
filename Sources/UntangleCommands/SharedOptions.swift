import ArgumentParser
import Reporting

/// What every command takes.
struct SharedOptions: ParsableArguments {
    @Flag(help: "Print the result as one JSON document.")
    var json = false

    @Flag(name: .shortAndLong, help: "Show no progress, as --progress none.")
    var quiet = false

    @Option(
        help: ArgumentHelp(
            "How standard error tells of progress: auto (a bar on a terminal), plain, json (one object a line) or none.",
            valueName: "how"))
    var progress = ProgressStyle.auto

    @Option(
        help: ArgumentHelp("How many threads to compute with, from 1 to 1024 (default: all cores).", valueName: "n"),
        transform: ThreadCount.init)
    var threads: ThreadCount?

    @Option(
        help: ArgumentHelp(
            "Working memory, such as 512M or 2GiB (default: half of what is available). Mapped input is not counted.",
            valueName: "size"))
    var memory: ByteSize?

    func validate() throws {
        guard !quiet || progress == .auto || progress == .none else {
            throw ValidationError("--quiet and --progress \(progress.rawValue) contradict each other")
        }
    }
}

/// How progress is told.
enum ProgressStyle: String, CaseIterable, ExpressibleByArgument {
    case auto, plain, json, none
}

/// A number of threads: at least one.
struct ThreadCount {
    let count: Int

    init(_ argument: String) throws {
        // More threads than this help nobody and could exhaust the process limits.
        guard let count = Int(argument), (1...1024).contains(count) else {
            throw ValidationError("give a number from 1 to 1024")
        }
        self.count = count
    }
}

extension ByteSize: ExpressibleByArgument {
    public init?(argument: String) { self.init(parsing: argument) }
}
