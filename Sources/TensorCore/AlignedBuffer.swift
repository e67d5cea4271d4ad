import Glibc

/// Memory of a fixed size, aligned to a cache line, zeroed when it is made unless its owner overwrites it anyway.
///
/// The owner decides who writes when; the type itself only frees.
public final class AlignedBuffer: @unchecked Sendable {
    public let byteCount: Int
    public let address: UnsafeMutableRawPointer

    /// - Parameter isZeroed: false leaves the contents undefined, for buffers that are filled before they are read.
    /// - Throws: `IOError` `io.memory` when the system has no room.
    public init(byteCount: Int, alignment: Int = 64, isZeroed: Bool = true) throws(IOError) {
        // Safety: calloc'd through posix_memalign and freed in deinit; every view is bounded by byteCount.
        var raw: UnsafeMutableRawPointer?
        let failure = posix_memalign(&raw, alignment, max(byteCount, 1))
        guard failure == 0, let raw else {
            throw IOError(
                code: "io.memory", message: "cannot allocate \(byteCount) bytes", file: nil, hint: "lower --memory")
        }
        if isZeroed { memset(raw, 0, byteCount) }
        self.byteCount = byteCount
        address = raw
    }

    deinit { free(address) }

    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: address, count: byteCount) }
    public var mutableBytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: address, count: byteCount)
    }
}

/// A buffer of single-precision numbers, aligned to a cache line, zeroed when it is made.
public final class FloatBuffer: @unchecked Sendable {
    public let count: Int
    private let storage: AlignedBuffer

    public init(count: Int) throws(IOError) {
        let (byteCount, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
        guard !overflow else {
            throw IOError(code: "io.memory", message: "cannot allocate \(count) numbers", file: nil)
        }
        storage = try AlignedBuffer(byteCount: byteCount)
        self.count = count
    }

    /// The first element. Safety: valid for `count` elements while the buffer lives.
    public var pointer: UnsafeMutablePointer<Float> { storage.address.assumingMemoryBound(to: Float.self) }
    public var values: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: pointer, count: count) }
}
