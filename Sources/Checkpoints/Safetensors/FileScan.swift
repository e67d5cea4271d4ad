import Glibc
import Synchronization
import SystemPackage
import TensorCore

/// Reads a file from end to end through buffers, where a bad sector is an error and not a signal.
enum FileScan {
    /// A block that could not be read to its end.
    struct Fault: Hashable, Sendable {
        let range: Range<Int>
        /// Nil when the file was cut short since it was opened.
        let errno: Errno?

        var reason: String { errno.map { "cannot be read: \($0)" } ?? "was cut off" }
    }

    private static let blockByteCount = 4 << 20

    /// Reads a file of tensors that lie as they are and have no checksums: damage is what the disk cannot return.
    ///
    /// - Parameters:
    ///   - tensors: the ranges of the tensors, by position; before the first lies what describes them.
    ///   - progress: receives the bytes read since the last call, from any thread.
    /// - Throws: as `faults(of:byteCount:threads:progress:)`.
    static func verification(
        of path: FilePath, byteCount: Int, tensors: some Sequence<(TensorName, Range<Int>)>, threads: Int,
        progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        var result = Verification(checkedByteCount: byteCount)
        let tensors = Array(tensors)
        for fault in try faults(of: path, byteCount: byteCount, threads: threads, progress: progress) {
            let range = fault.range
            result.checkedByteCount -= range.count
            for (name, place) in tensors where place.overlaps(range) {
                let overlap = place.clamped(to: range)
                result.damage.append(
                    Damage(
                        tensor: name, file: path, offset: overlap.lowerBound, byteCount: overlap.count,
                        reason: fault.reason))
            }
            if range.lowerBound < (tensors.first?.1.lowerBound ?? range.upperBound) {
                result.damage.append(
                    Damage(
                        tensor: nil, file: path, offset: range.lowerBound, byteCount: range.count, reason: fault.reason)
                )
            }
        }
        return result
    }

    /// Reads the first `byteCount` bytes, several blocks at a time.
    ///
    /// - Parameter progress: receives the bytes read since the last call, from any thread.
    /// - Returns: what could not be read, in the order of the file.
    /// - Throws: `IOError` when the file cannot be opened or there is no memory for the buffers.
    static func faults(
        of path: FilePath, byteCount: Int, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> [Fault] {
        let descriptor = open(path.string, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw IOError(Errno(rawValue: errno), action: "open \(path.string)", path: path)
        }
        defer { close(descriptor) }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
        let buffers = LendingPool {
            try AlignedBuffer(byteCount: min(blockByteCount, max(byteCount, 1)), alignment: 4096)
        }
        let faults = Mutex<[Fault]>([])
        let blockCount = byteCount / blockByteCount + (byteCount % blockByteCount > 0 ? 1 : 0)
        try parallel(count: blockCount, threads: threads) { block in
            let start = block * blockByteCount
            let range = start..<min(byteCount - start, blockByteCount) + start
            let fault = try buffers.with { read(range, of: descriptor, into: $0) }
            if let fault { faults.withLock { $0.append(fault) } }
            progress(range.count)
        }
        return faults.withLock { $0.sorted { $0.range.lowerBound < $1.range.lowerBound } }
    }

    /// Reads a range of the file into a buffer.
    ///
    /// - Returns: the part of the range that could not be read.
    private static func read(_ range: Range<Int>, of descriptor: Int32, into buffer: AlignedBuffer) -> Fault? {
        var position = range.lowerBound
        while position < range.upperBound {
            let count = pread(descriptor, buffer.address, range.upperBound - position, position)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                return Fault(range: position..<range.upperBound, errno: count == 0 ? nil : Errno(rawValue: errno))
            }
            position += count
        }
        return nil
    }
}
