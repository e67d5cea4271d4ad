import CLinux
import Dispatch
import Glibc
import Synchronization

/// Calls `body` for 0 ..< `count` on up to `threads` threads at once, and returns when all are done.
///
/// Workers take the next number as they get free, so numbers decide what is computed and threads only when. Results must
/// therefore be stored by number and combined in their order. All work on several threads goes through here.
///
/// - Parameter threads: the number of workers; 1 runs on the calling thread.
/// - Throws: of the errors that occurred, that of the lowest number; after an error no new number is begun.
public func parallel<Failure: Error>(
    count: Int, threads: Int, _ body: @Sendable (Int) throws(Failure) -> Void
) throws(Failure) {
    let workers = min(threads, count)
    guard workers > 1 else {
        for number in 0..<count { try body(number) }
        return
    }
    let next = Atomic(0)
    let failure = Mutex<(number: Int, error: Failure)?>(nil)
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
        while true {
            let number = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard number < count else { return }
            do throws(Failure) { try body(number) } catch {
                next.store(count, ordering: .relaxed)
                failure.withLock { if number < $0?.number ?? .max { $0 = (number, error) } }
            }
        }
    }
    if let failure = failure.withLock({ $0 }) { throw failure.error }
}

/// Calls `body` as `parallel` does and returns the results in order.
///
/// - Throws: as `parallel`.
package func parallelMap<Result: Sendable, Failure: Error>(
    count: Int, threads: Int, _ body: @Sendable (Int) throws(Failure) -> Result
) throws(Failure) -> [Result] {
    let results = Mutex([Result?](repeating: nil, count: count))
    try parallel(count: count, threads: threads) { number throws(Failure) in
        let result = try body(number)
        results.withLock { $0[number] = result }
    }
    return results.withLock { $0.compactMap { $0 } }
}

/// How many cores the process may run on, and was given by Slurm where it is one of its tasks.
public let availableCoreCount: Int = {
    var cores = [UInt64](repeating: 0, count: 1024)
    let allowed =
        sched_getaffinity(0, UInt(8 * cores.count), &cores) == 0
        ? cores.reduce(0) { $0 + $1.nonzeroBitCount } : sysconf(Int32(_SC_NPROCESSORS_ONLN))
    return coreCount(allowed: allowed, given: getenv("SLURM_CPUS_PER_TASK").map { String(cString: $0) })
}()

/// The lower of two counts, as far as there are two; at least 1.
package func coreCount(allowed: Int, given: String?) -> Int {
    max(1, min(allowed, given.flatMap { Int($0) } ?? allowed))
}
