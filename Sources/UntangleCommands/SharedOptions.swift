import ArgumentParser
import Reporting

/// What every command takes.
struct SharedOptions: ParsableArguments {
    @Flag(help: "Print the result as one JSON document.")
    var json = false

    @Flag(name: .shortAndLong, help: "Show no progress.")
    var quiet = false

    @Option(
        help: ArgumentHelp("How many threads to compute with, from 1 to 1024 (default: all cores).", valueName: "n"),
        transform: ThreadCount.init)
    var threads: ThreadCount?

    @Option(
        help: ArgumentHelp(
            "Working memory, such as 512M or 2GiB (default: half of what is available). Mapped input is not counted.",
            valueName: "size"))
    var memory: ByteSize?
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
