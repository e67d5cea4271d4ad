import Foundation
import SystemPackage
import TestSupport

/// The built binary, run as a user would run it.
struct Tool {
    /// What a run left behind.
    struct Outcome {
        let status: Int32
        let output: String
        let errors: String

        /// Standard output as one JSON document.
        func json() throws -> JSONValue { try JSONValue(parsing: output) }

        /// The document that `--json` prints for an error: the last line of standard error.
        func error() throws -> JSONValue {
            let line = errors.split(separator: "\n").last ?? ""
            return try JSONValue(parsing: String(line))["error"]
        }
    }

    /// A folder of its own, in which `Fixtures` stands as in a checkout, so that paths are those of the documentation.
    let folder = TemporaryFolder()

    init() throws {
        try FileManager.default.createSymbolicLink(
            atPath: folder.file("Fixtures").string, withDestinationPath: Fixtures.folder.string)
    }

    /// Beside the test runner, where the build puts every product.
    static let binary: URL = {
        var candidates = [Bundle.main.executableURL, URL(fileURLWithPath: CommandLine.arguments[0])].compactMap { $0 }
        candidates += Bundle.allBundles.map(\.bundleURL)
        let found = candidates.lazy.map { $0.deletingLastPathComponent().appendingPathComponent("untangle") }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) }
        guard let found else { fatalError("the binary untangle is not beside the test runner") }
        return found
    }()

    /// Runs the tool to its end.
    ///
    /// - Parameter arguments: without the name of the program.
    func run(_ arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = Self.binary
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path.string)
        process.standardInput = FileHandle.nullDevice
        // Files rather than pipes: nothing has to be read while the process runs.
        let output = folder.file(".output-\(UUID().uuidString)").string
        let errors = folder.file(".errors-\(UUID().uuidString)").string
        for path in [output, errors] { try Data().write(to: URL(fileURLWithPath: path)) }
        process.standardOutput = FileHandle(forWritingAtPath: output)
        process.standardError = FileHandle(forWritingAtPath: errors)
        try process.run()
        process.waitUntilExit()
        let outcome = Outcome(
            status: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
        for path in [output, errors] { try FileManager.default.removeItem(atPath: path) }
        return outcome
    }

    func run(_ arguments: String...) throws -> Outcome { try run(arguments) }

    /// Runs a line of shell with `untangle` in the search path; for pipes and for examples as people type them.
    func shell(_ line: String) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        let output = folder.file(".output").string
        let errors = folder.file(".errors").string
        let path = Self.binary.deletingLastPathComponent().path
        process.arguments = ["-c", "PATH='\(path)':$PATH; { \(line)\n} > '\(output)' 2> '\(errors)'"]
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path.string)
        process.standardInput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        return Outcome(
            status: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
            errors: try String(contentsOfFile: errors, encoding: .utf8))
    }
}
