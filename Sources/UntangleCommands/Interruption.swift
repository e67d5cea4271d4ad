import Checkpoints
import Glibc

/// Ends the process cleanly when it is told to stop.
///
/// The handler may run on any thread, also on those that OpenBLAS starts before `main`, and almost nothing may be called inside it: it
/// writes the number of the signal into a pipe, at whose other end a thread of its own waits.
enum Interruption {
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
                var number: UInt8 = 0
                while read(readEnd, &number, 1) != 1 {}
                Interruption.stop(Int32(number))
            }, readEnd)
        guard failure == 0 else { return }
        var watched = sigset_t()
        sigemptyset(&watched)
        // Signals that the parent chose to ignore (nohup, background jobs) stay ignored.
        for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) {
            sigaddset(&watched, number)
            signal(number) { number in
                let saved = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(Interruption.writeEnd, &byte, 1)
                errno = saved
            }
        }
        // A parent that waits for signals in its own way may have handed down that they are blocked.
        pthread_sigmask(SIG_UNBLOCK, &watched, nil)
    }

    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// 130 after an interrupt from the keyboard, 143 after SIGTERM, as shells count.
    private static func stop(_ number: Int32) -> Never {
        UnfinishedOutputs.removeAll()
        // Leaves the terminal on a fresh line, without half a progress bar.
        if StandardError.terminal != nil { StandardError.write("\r\u{1B}[K") }
        _exit(128 + number)
    }
}
