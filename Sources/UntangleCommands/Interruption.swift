import Checkpoints
import Glibc
import SystemPackage
import TensorCore

/// Ends the process cleanly when it is told to stop, and when an input is cut under its hands.
///
/// The handler may run on any thread, also on those that OpenBLAS starts before `main`, and almost nothing may be called inside it: it
/// writes what happened into a pipe, at whose other end a thread of its own waits.
enum Interruption {
    /// What the handler tells the thread: fewer bytes than a pipe takes in one piece.
    private struct Event {
        let signal: Int32
        /// The address that has no memory behind it; 0 for signals of other kinds.
        var address: UInt = 0
    }

    /// Safety: written once, before the handlers are installed.
    private nonisolated(unsafe) static var writeEnd: Int32 = -1

    /// Starts watching.
    static func watch() {
        // A broken pipe is then an error of `write`, which `StandardOutput` knows how to take.
        signal(SIGPIPE, SIG_IGN)
        // A limit on the size of files (`ulimit -f`) is then an error of the write, like a full disk.
        signal(SIGXFSZ, SIG_IGN)
        var ends: [Int32] = [-1, -1]
        // Without the pipe or the thread the signals keep their usual effect.
        guard pipe(&ends) == 0 else { return }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        writeEnd = ends[1]
        var thread = pthread_t()
        let readEnd = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        readEnd.initialize(to: ends[0])
        let failure = pthread_create(
            &thread, nil,
            { argument in
                // Safety: allocated for this thread, which lives as long as the process.
                let readEnd = argument!.assumingMemoryBound(to: Int32.self).pointee
                var event = Event(signal: 0)
                while read(readEnd, &event, MemoryLayout<Event>.size) != MemoryLayout<Event>.size {}
                Interruption.end(event)
            }, readEnd)
        guard failure == 0 else { return }
        var watched = sigset_t()
        sigemptyset(&watched)
        // Signals that the parent chose to ignore (nohup, background jobs) stay ignored.
        for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) {
            sigaddset(&watched, number)
            signal(number) { number in
                let saved = errno
                Interruption.tell(Event(signal: number))
                errno = saved
            }
        }
        watchMappedFiles()
        sigaddset(&watched, SIGBUS)
        // A parent that waits for signals in its own way may have handed down that they are blocked.
        pthread_sigmask(SIG_UNBLOCK, &watched, nil)
    }

    private static func tell(_ event: Event) {
        var event = event
        _ = write(writeEnd, &event, MemoryLayout<Event>.size)
    }

    /// Touching what another process has cut from a mapped file raises SIGBUS. The thread that did so waits for the end, because there
    /// is nothing that it could go on with.
    private static func watchMappedFiles() {
        MappedFiles.watch()
        var action = sigaction()
        action.sa_flags = SA_SIGINFO
        action.__sigaction_handler.sa_sigaction = { number, information, _ in
            let address = information?.pointee._sifields._sigfault.si_addr
            Interruption.tell(Event(signal: number, address: UInt(bitPattern: address)))
            while true { pause() }
        }
        sigaction(SIGBUS, &action, nil)
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// 130 after an interrupt from the keyboard, 143 after SIGTERM, as shells count.
    private static func end(_ event: Event) -> Never {
        var input: FilePath?
        if event.signal == SIGBUS {
            input = MappedFiles.path(at: event.address)
            // Not of a file: a fault of our own, or of the machine, with its usual effect.
            if input == nil {
                signal(SIGBUS, SIG_DFL)
                kill(getpid(), SIGBUS)
                while true { pause() }
            }
        }
        UnfinishedOutputs.removeAll {
            // Leaves the terminal on a fresh line, without half a progress bar.
            if StandardError.terminal != nil { StandardError.write("\r\u{1B}[K") }
            guard let input else { _exit(128 + event.signal) }
            _exit(UntangleMain.report(IOError.changed(input)).code)
        }
    }
}
