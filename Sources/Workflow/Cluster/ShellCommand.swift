import Glibc
import SystemPackage
import TensorCore

/// A program that is run to its end.
enum ShellCommand {
    struct Outcome {
        let status: Int32
        let output: String
        let errors: String
    }

    /// Runs a program of the search path without input.
    ///
    /// - Returns: nil when it cannot be started, such as when it is not there.
    static func run(_ words: [String]) -> Outcome? {
        // Files rather than pipes: nothing has to be read while the program runs.
        guard let output = tmpfile(), let errors = tmpfile() else { return nil }
        defer { for file in [output, errors] { fclose(file) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, fileno(output), STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, fileno(errors), STDERR_FILENO)
        var arguments = words.map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var process = pid_t()
        guard posix_spawnp(&process, words[0], &actions, nil, &arguments, environ) == 0 else { return nil }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 { guard errno == EINTR else { return nil } }
        let code = status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + status & 0x7F
        return Outcome(status: code, output: text(of: output), errors: text(of: errors))
    }

    private static func text(of file: UnsafeMutablePointer<FILE>) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = pread(fileno(file), &buffer, buffer.count, bytes.count)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }
}
