import Glibc
import Reporting
import SystemPackage
import TensorCore

/// Standard output, buffered and complete.
///
/// When the reader of a pipe goes away, the rest is dropped in silence: the status of the process stays the answer of the
/// command, as with ripgrep.
final class StandardOutput {
    private var buffer: [UInt8] = []
    private var isBroken = false
    private let descriptor: Int32

    init(descriptor: Int32 = STDOUT_FILENO) { self.descriptor = descriptor }

    /// What its reader can be shown.
    var style: TextStyle {
        guard let terminal = Terminal(descriptor) else { return .plain }
        return TextStyle(terminalOf: terminal.columns) { getenv($0).map { String(cString: $0) } }
    }

    /// Adds text.
    func write(_ text: String) throws(IOError) { try write(text.utf8) }

    /// Adds bytes; what has gathered is written once it is worth a system call.
    func write(_ bytes: some Collection<UInt8>) throws(IOError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = rest.prefix(1 << 16)
            buffer.append(contentsOf: part)
            rest = rest[part.endIndex...]
            if buffer.count >= 1 << 16 { try flush() }
        }
    }

    /// Writes what has gathered.
    ///
    /// - Throws: `IOError`, `io.disk_full` for instance when standard output is a file; never for a broken pipe.
    func flush() throws(IOError) {
        defer { buffer.removeAll(keepingCapacity: true) }
        var done = 0
        while done < buffer.count, !isBroken {
            let count = buffer.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + done, $0.count - done) }
            if count >= 0 {
                done += count
                continue
            }
            switch errno {
            case EINTR: continue
            case EAGAIN: waitUntilWritable()
            case EPIPE: isBroken = true
            default:
                throw IOError(Errno(rawValue: errno), action: "write to standard output", path: "standard output")
            }
        }
    }

    /// A shell may have left the descriptor in non-blocking mode.
    private func waitUntilWritable() {
        var event = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&event, 1, -1)
    }
}

/// Standard error, written at once; a failure to write there has nowhere to be told.
enum StandardError {
    static func write(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                return
            }
            bytes.removeFirst(count)
        }
    }

    /// Writes an error: for people, as one line of JSON if results are JSON, as an event among those of progress, or as a
    /// document with the key of an event where both are asked for.
    static func report(_ diagnostic: any Diagnostic, json: Bool, isEvent: Bool) {
        let document: JSONOutput? =
            switch (json, isEvent) {
            case (false, false): nil
            case (true, false): DiagnosticRenderer.json(diagnostic)
            case (false, true): DiagnosticRenderer.event(diagnostic)
            case (true, true):
                (["event": "error"] as JSONOutput).adding(contentsOf: DiagnosticRenderer.json(diagnostic))
            }
        write(document.map { $0.rendered(.compact) + "\n" } ?? DiagnosticRenderer.text(diagnostic))
    }

    static var terminal: Terminal? { Terminal(STDERR_FILENO) }
}
