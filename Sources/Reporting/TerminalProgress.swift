import Synchronization

/// Shows progress on standard error: a bar that is redrawn at most ten times a second, one plain line every ten seconds, or events
/// for a program to read: one when a piece of work begins, one a second, and one when it ends.
///
/// Other lines for the same stream go through `print(_:)`, so that they never land in the middle of a bar.
public final class TerminalProgress: ProgressSink {
    public enum Style: Sendable, Hashable {
        /// A redrawn bar, cut to so many columns.
        case bar(columns: Int)
        /// Plain lines, for logs.
        case lines
        /// Objects of JSON, one a line.
        case events
        /// Nothing but what `print(_:)` is given.
        case silent

        /// The least time between two prints.
        fileprivate var interval: Duration {
            switch self {
            case .bar: .milliseconds(100)
            case .events: .seconds(1)
            case .lines, .silent: .seconds(10)
            }
        }
    }

    private struct State {
        var work: ProgressState?
        var started: Duration = .zero
        var lastShown: Duration = .zero
        var barIsVisible = false
    }

    public let style: Style
    private let write: @Sendable (String) -> Void
    private let now: @Sendable () -> Duration
    private let state = Mutex(State())

    /// Shows progress on a stream.
    ///
    /// - Parameters:
    ///   - write: puts text on the stream at once.
    ///   - now: the time since some fixed moment; a test may bring its own clock.
    public init(
        style: Style, now: @escaping @Sendable () -> Duration = TerminalProgress.monotonicTime,
        write: @escaping @Sendable (String) -> Void
    ) {
        self.style = style
        self.now = now
        self.write = write
    }

    /// The time since the first use, unaffected by changes of the system's clock.
    @Sendable public static func monotonicTime() -> Duration { origin.duration(to: .now) }
    private static let origin = ContinuousClock.now

    public func begin(_ title: String, total: Int?, unit: ProgressUnit) {
        guard style != .silent else { return }
        state.withLock { state in
            finish(&state)
            let time = now()
            state.work = ProgressState(title: title, total: total, unit: unit)
            state.started = time
            // The first bar waits for one interval: work that is over by then never flickers.
            state.lastShown = time
            if style == .events { show(&state, at: time) }
        }
    }

    public func advance(by count: Int) {
        guard style != .silent else { return }
        state.withLock { state in
            state.work?.done += count
            showIfDue(&state)
        }
    }

    public func remark(_ text: String) {
        guard style != .silent else { return }
        state.withLock { state in
            state.work?.remark = text
            showIfDue(&state)
        }
    }

    public func end() {
        guard style != .silent else { return }
        state.withLock { state in
            finish(&state)
            state.work = nil
        }
    }

    public func note(_ text: String) {
        let event: JSONOutput = ["event": "note", "message": .string(text)]
        switch style {
        case .bar, .lines: print(text.escapingControlCharacters + "\n")
        case .events: print(event.rendered(.compact) + "\n")
        case .silent: break
        }
    }

    /// Prints whole lines on the same stream, taking the bar out of their way. `--quiet` does not silence them.
    public func print(_ lines: String) {
        state.withLock { state in
            clear(&state)
            write(lines)
        }
    }

    private func showIfDue(_ state: inout State) {
        guard state.work != nil else { return }
        let time = now()
        guard time - state.lastShown >= style.interval else { return }
        state.lastShown = time
        show(&state, at: time)
    }

    private func show(_ state: inout State, at time: Duration) {
        guard let work = state.work else { return }
        let elapsed = time - state.started
        switch style {
        case .bar(let columns):
            write("\r\u{1B}[K" + work.bar(elapsed: elapsed, columns: columns))
            state.barIsVisible = true
        case .lines: write(work.line(elapsed: elapsed) + "\n")
        case .events: write(work.event(elapsed: elapsed).rendered(.compact) + "\n")
        case .silent: break
        }
    }

    /// Takes the bar away, or tells how far the work has come.
    private func finish(_ state: inout State) {
        clear(&state)
        if style == .events { show(&state, at: now()) }
    }

    private func clear(_ state: inout State) {
        guard state.barIsVisible else { return }
        write("\r\u{1B}[K")
        state.barIsVisible = false
    }
}
