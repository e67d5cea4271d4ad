import Checkpoints
import Glibc

/// Ends the process cleanly when it is told to stop.
///
/// A thread of its own waits for the signals, because almost nothing may be called inside a signal handler.
enum Interruption {
    /// Starts watching. Called before any other thread exists, because threads inherit the set of blocked signals.
    static func watch() {
        // A broken pipe is then an error of `write`, which `StandardOutput` knows how to take.
        signal(SIGPIPE, SIG_IGN)
        var watched = sigset_t()
        sigemptyset(&watched)
        // Signals that the parent chose to ignore (nohup, background jobs) stay ignored.
        for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) { sigaddset(&watched, number) }
        pthread_sigmask(SIG_BLOCK, &watched, nil)
        var thread = pthread_t()
        let argument = UnsafeMutablePointer<sigset_t>.allocate(capacity: 1)
        argument.initialize(to: watched)
        let failure = pthread_create(
            &thread, nil,
            { argument in
                // Safety: the set was allocated for this thread, which lives as long as the process.
                var number: Int32 = 0
                while sigwait(argument!.assumingMemoryBound(to: sigset_t.self), &number) != 0 {}
                Interruption.stop(number)
            }, argument)
        // Without the thread the signals must keep their usual effect.
        if failure != 0 { pthread_sigmask(SIG_UNBLOCK, &watched, nil) }
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
        if StandardError.isTerminal { StandardError.write("\r\u{1B}[K") }
        _exit(128 + number)
    }
}
