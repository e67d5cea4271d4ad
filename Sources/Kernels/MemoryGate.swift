import Glibc

/// Lets work in while the bytes that it declared stay below a limit; work that alone exceeds it goes in by itself.
package final class MemoryGate: @unchecked Sendable {
    private let limit: Int
    // Safety: `usedByteCount` is touched only between lock and unlock; both pthread objects live at fixed addresses.
    private var usedByteCount = 0
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    package init(limit: Int) {
        self.limit = limit
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Waits until there is room.
    package func enter(_ byteCount: Int) {
        pthread_mutex_lock(mutex)
        while usedByteCount > 0, byteCount > limit - usedByteCount { pthread_cond_wait(condition, mutex) }
        usedByteCount += byteCount
        pthread_mutex_unlock(mutex)
    }

    package func leave(_ byteCount: Int) {
        pthread_mutex_lock(mutex)
        usedByteCount -= byteCount
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }
}
