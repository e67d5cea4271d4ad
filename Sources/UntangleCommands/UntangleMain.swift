import ArgumentParser
import Checkpoints
import Glibc
import Reporting
import TensorCore

/// The whole program, called by `main.swift`.
public enum UntangleMain {
    /// Runs the command line of the process and ends it.
    public static func run() -> Never {
        Interruption.watch()
        let status = run(Array(CommandLine.arguments.dropFirst()))
        // Everything is flushed; the destructors of C libraries have nothing to add.
        _exit(status.code)
    }

    private static func run(_ arguments: [String]) -> ExitStatus {
        let output = StandardOutput()
        do {
            try checkEncoding()
            let status = try run(arguments, output: output)
            try MappedFiles.requireUnchanged()
            try output.flush()
            return status
        } catch {
            UnfinishedOutputs.removeEmptyFolders()
            // What seems wrong with a file that somebody writes to may be nothing but that.
            do { try MappedFiles.requireUnchanged() } catch { return report(error) }
            return report(error)
        }
    }

    /// Tells of the error that ends the process.
    static func report(_ error: any Error) -> ExitStatus {
        let arguments = Array(CommandLine.arguments.dropFirst())
        StandardError.report(error.diagnostic, json: wantsJSON(arguments), isEvent: wantsEvents(arguments))
        return ExitStatus(error.diagnostic.severity)
    }

    private static func run(_ arguments: [String], output: StandardOutput) throws -> ExitStatus {
        if Set(arguments) == ["--version", "--json"] {
            try output.write(Build.document.rendered() + "\n")
            return .done
        }
        var command: any ParsableCommand
        do {
            try checkCommandName(arguments)
            command = try Untangle.parseAsRoot(arguments)
            // `help` and a bare `untangle` run inside the argument parser and answer with a help text.
            if !(command is any ToolCommand) { try command.run() }
        } catch {
            if error is any Diagnostic { throw error }
            guard Untangle.exitCode(for: error) == .success else { throw usageError(for: error) }
            try output.write(Untangle.fullMessage(for: error) + "\n")
            return .done
        }
        guard let command = command as? any ToolCommand else { return .done }
        let session = Session(command.shared, arguments: arguments, output: output)
        defer { session.progress.end() }
        return try command.run(in: session)
    }

    /// Swift has replacement characters for what is not UTF-8, and another file would be written than the one that was named.
    private static func checkEncoding() throws(UsageError) {
        for place in 1..<max(1, Int(CommandLine.argc)) {
            guard let bytes = CommandLine.unsafeArgv[place], String(validatingCString: bytes) == nil else { continue }
            throw UsageError(
                "argument \(place) is not valid UTF-8: \"\(String(cString: bytes).escapingControlCharacters)\"",
                hint: "rename the file or folder; names have to be UTF-8")
        }
    }

    /// The argument parser takes an unknown command for a stray argument of the root and then complains about its options.
    private static func checkCommandName(_ arguments: [String]) throws(UsageError) {
        guard let name = arguments.first, !name.isEmpty, !name.hasPrefix("-"), name != "help" else { return }
        let known = Untangle.configuration.subcommands.compactMap { $0.configuration.commandName ?? $0._commandName }
        guard !known.contains(name) else { return }
        throw UsageError("there is no command '\(name)'", hint: "the commands are \(known.joined(separator: ", "))")
    }

    /// An error of the argument parser in our own words: one line, and where help is to be found.
    private static func usageError(for error: any Error) -> UsageError {
        let message = Untangle.message(for: error).split(separator: "\n").joined(separator: " ")
        // The parser knows which subcommand failed but tells only in its full text: "See 'untangle inspect --help' for more".
        let pointer = Untangle.fullMessage(for: error).split(separator: "\n").last { $0.hasPrefix("  See '") }
        let help = pointer.flatMap { $0.split(separator: "'").dropFirst().first } ?? "untangle --help"
        return UsageError(message, hint: "see '\(help)'")
    }

    /// Whether errors are to be JSON, also when the arguments could not be parsed.
    private static func wantsJSON(_ arguments: [String]) -> Bool {
        arguments.prefix { $0 != "--" }.contains("--json")
    }

    /// Whether errors are events among those of progress.
    private static func wantsEvents(_ arguments: [String]) -> Bool {
        let options = arguments.prefix { $0 != "--" }
        return options.contains("--progress=json")
            || zip(options, options.dropFirst()).contains { $0 == "--progress" && $1 == "json" }
    }
}
