import Synchronization
import TensorCore

/// Room for what a kernel needs while it runs, kept for the next one: new memory would cost more than many kernels do.
package enum Scratch {
    private static let idle = Mutex<[FloatBuffer]>([])

    /// Calls `body` with room for `count` numbers, whose values are anything.
    package static func lend(count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
        var buffer = idle.withLock { $0.popLast() }
        if buffer.map({ $0.count < count }) ?? true {
            buffer = nil
            buffer = try? FloatBuffer(count: count)
        }
        // As OpenBLAS does: a product cannot go on without.
        guard let buffer else { fatalError("no memory for \(count) numbers") }
        body(buffer.pointer)
        idle.withLock { $0.append(buffer) }
    }
}
