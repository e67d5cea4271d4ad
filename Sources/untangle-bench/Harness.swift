import Glibc
import Kernels

/// A benchmark: what it is called, what it takes, and the code that measures and prints.
struct BenchmarkCase: Sendable {
    let name: String
    /// The question that the case answers.
    let question: String
    let options: String
    let run: @Sendable (BenchmarkOptions) throws -> Void
}

/// The cases and their command line.
enum Benchmarks {
    static let cases: [BenchmarkCase] = [
        .riStep, .open, .cast, .convert, .merge, .quantizedMerge, .skein, .skeinCompact, .vectors, .pictures, .tokenize,
    ]

    /// Runs one case, or all with their defaults when no name is given.
    ///
    /// - Returns: the exit status.
    static func run(_ arguments: [String]) -> Int32 {
        let chosen = arguments.isEmpty ? cases : cases.filter { $0.name == arguments[0] }
        guard !chosen.isEmpty else {
            print("usage: untangle-bench [CASE [--threads N] [options]]")
            for benchmark in cases { print("  \(benchmark.name) \(benchmark.options)\n      \(benchmark.question)") }
            return 2
        }
        do {
            let options = try BenchmarkOptions(Array(arguments.dropFirst()))
            for benchmark in chosen {
                print("\(benchmark.name): \(benchmark.question)")
                try benchmark.run(options)
            }
            return 0
        } catch {
            print("error: \(error)")
            return 3
        }
    }
}

/// Options as `--name value`.
struct BenchmarkOptions: Sendable {
    private var values: [String: String] = [:]

    init(_ arguments: [String]) throws {
        for index in stride(from: 0, to: arguments.count, by: 2) {
            guard arguments[index].hasPrefix("--"), index + 1 < arguments.count else {
                throw BenchmarkUsage(message: "\(arguments[index]) is not an option with a value")
            }
            values[String(arguments[index].dropFirst(2))] = arguments[index + 1]
        }
    }

    func text(_ name: String, default fallback: String) -> String { values[name] ?? fallback }

    func number(_ name: String, default fallback: Int) throws -> Int {
        guard let text = values[name] else { return fallback }
        guard let value = Int(text), value > 0 else {
            throw BenchmarkUsage(message: "--\(name) \(text) is not a positive number")
        }
        return value
    }

    func budget() throws -> ComputeBudget {
        ComputeBudget(threads: values["threads"] == nil ? nil : try number("threads", default: 1))
    }
}

struct BenchmarkUsage: Error {
    let message: String
}

/// Wall and processor time of one stretch of work.
struct Measurement: Sendable {
    let wallSeconds: Double
    /// Of all threads together.
    let processorSeconds: Double

    init(from start: Moment, to end: Moment) {
        wallSeconds = end.wallSeconds - start.wallSeconds
        processorSeconds = end.processorSeconds - start.processorSeconds
    }

    init(_ body: () throws -> Void) rethrows {
        let start = Moment()
        try body()
        self.init(from: start, to: Moment())
    }
}

/// What the clocks say.
struct Moment: Sendable {
    let wallSeconds = Self.now(CLOCK_MONOTONIC)
    let processorSeconds = Self.now(CLOCK_PROCESS_CPUTIME_ID)

    private static func now(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
    }
}

/// Best and median of several runs.
struct Series {
    let best: Measurement
    let median: Measurement

    init(runs: Int, _ body: () throws -> Void) rethrows {
        self.init(try (0..<runs).map { _ in try Measurement(body) })
    }

    /// Sorts the runs.
    ///
    /// - Precondition: there is a run.
    init(_ runs: [Measurement]) {
        let sorted = runs.sorted { $0.wallSeconds < $1.wallSeconds }
        best = sorted[0]
        median = sorted[sorted.count / 2]
    }
}

/// A number with a fixed count of decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
    let scale = pow(10, Double(decimals))
    let text = String(Int((abs(value) * scale).rounded()))
    let padded = String(repeating: "0", count: max(0, decimals + 1 - text.count)) + text
    let sign = value < 0 ? "-" : ""
    return decimals == 0 ? sign + padded : sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
}
