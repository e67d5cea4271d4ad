import TensorCore

/// The threads that share the loops of a layer.
///
/// A large model runs one batch on all threads, which split every product and loop of every layer; a small one runs a shard of the batch on
/// each thread. Layers are written once: their loops go through `share`, and whoever starts a pass says how many threads it has.
/// Threads that help have no team of their own, so there is one level of parallelism.
public enum Team {
    /// The number of threads of the team that the calling thread leads.
    @TaskLocal public static var size = 1

    /// Runs `body` with a team of so many threads.
    package static func lead<Result>(of threads: Int, _ body: () -> Result) -> Result {
        $size.withValue(threads, operation: body)
    }
}

/// Calls `body` for 0 ..< `count` on the threads of the team, and returns when all are done.
///
/// - Precondition: different numbers write to different places, and what they compute does not depend on `count`.
package func share(_ count: Int, _ body: (Int) -> Void) {
    let threads = Team.size
    guard threads > 1, count > 1 else {
        for number in 0..<count { body(number) }
        return
    }
    withoutActuallyEscaping(body) { body in
        let work = SharedBody(body: body)
        // Whoever leads the team takes parts, too, and has no team meanwhile.
        parallel(count: count, threads: threads) { number in Team.lead(of: 1) { work.body(number) } }
    }
}

/// Calls `body` for ranges that cover 0 ..< `count`, of `grain` numbers but for the last.
///
/// - Precondition: as for `share`.
package func share(rows count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    guard count > 0 else { return }
    share((count + grain - 1) / grain) { body($0 * grain..<min(count, ($0 + 1) * grain)) }
}

/// Safety: callers of `share` promise that calls do not meet in memory, and the body does not outlive the call.
private struct SharedBody: @unchecked Sendable {
    let body: (Int) -> Void
}
