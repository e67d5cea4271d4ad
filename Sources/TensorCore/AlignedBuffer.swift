import Glibc

/// Memory of a fixed size, aligned to a cache line, zeroed when it is made unless its owner overwrites it anyway.
///
/// The owner decides who writes when; the type itself only frees.
public final class AlignedBuffer: @unchecked Sendable {
    public let byteCount: Int
    // Safety: freed or unmapped in deinit only; every view is bounded by byteCount.
    public let address: UnsafeMutableRawPointer
    /// What the system mapped for it, if it did.
    private let mapping: UnsafeMutableRawBufferPointer?
    /// From here on zeroed memory is mapped.
    private static let mappedByteCount = 1 << 20
    private static let hugePage = 2 << 20
    /// From here on huge pages are worth their alignment.
    private static let hugeByteCount = 2 * hugePage

    /// Takes memory from the system.
    ///
    /// - Parameter isZeroed: false leaves the contents undefined, for buffers that are filled before they are read.
    /// - Throws: `IOError` `io.memory` when the system has no room.
    public init(byteCount: Int, alignment: Int = 64, isZeroed: Bool = true) throws(IOError) {
        func failure() -> IOError {
            IOError(kind: .memory, message: "cannot allocate \(byteCount) bytes", file: nil, hint: "lower --memory")
        }
        self.byteCount = byteCount
        if isZeroed, byteCount >= Self.mappedByteCount, alignment <= 4096 {  // the smallest page
            guard let mapping = Self.map(byteCount), let start = mapping.baseAddress else { throw failure() }
            self.mapping = mapping
            address = mapping.count == byteCount ? start : start.alignedUp(toMultipleOf: Self.hugePage)
            // One fault for 2 MiB instead of 512, where the kernel gives what it is asked for.
            if mapping.count > byteCount { madvise(address, byteCount, MADV_HUGEPAGE) }
        } else {
            guard let raw = Self.allocate(byteCount, alignment: alignment) else { throw failure() }
            mapping = nil
            if isZeroed { memset(raw, 0, byteCount) }
            address = raw
        }
    }

    deinit {
        if let mapping { munmap(mapping.baseAddress, mapping.count) } else { free(address) }
    }

    /// Zeroed memory that goes back to the system when it is released; `free` keeps blocks of up to 32 MiB, for each thread.
    ///
    /// Large memory is mapped with room to align it to huge pages; what is not touched takes no memory.
    private static func map(_ byteCount: Int) -> UnsafeMutableRawBufferPointer? {
        let room = byteCount >= hugeByteCount && byteCount < Int.max - hugePage ? hugePage : 0
        let start = mmap(nil, byteCount + room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        return start == MAP_FAILED ? nil : UnsafeMutableRawBufferPointer(start: start, count: byteCount + room)
    }

    private static func allocate(_ byteCount: Int, alignment: Int) -> UnsafeMutableRawPointer? {
        var raw: UnsafeMutableRawPointer?
        return posix_memalign(&raw, alignment, max(byteCount, 1)) == 0 ? raw : nil
    }

    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: address, count: byteCount) }
    public var mutableBytes: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: address, count: byteCount)
    }
}

/// A buffer of single-precision numbers, aligned to a cache line, zeroed when it is made.
public final class FloatBuffer: @unchecked Sendable {
    public let count: Int
    private let storage: AlignedBuffer

    /// Takes memory from the system.
    ///
    /// - Throws: `IOError` `io.memory` when it has no room.
    public init(count: Int) throws(IOError) {
        let (byteCount, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Float>.stride)
        guard !overflow else {
            throw IOError(kind: .memory, message: "cannot allocate \(count) numbers", file: nil)
        }
        storage = try AlignedBuffer(byteCount: byteCount)
        self.count = count
    }

    /// Copies numbers.
    ///
    /// - Throws: `IOError` `io.memory` when there is no room.
    public convenience init(_ numbers: some Collection<Float>) throws(IOError) {
        try self.init(count: numbers.count)
        _ = values.update(from: numbers)
    }

    /// A copy of the numbers.
    public var numbers: [Float] { withExtendedLifetime(self) { Array(values) } }

    /// The first element. Safety: valid for `count` elements while the buffer lives.
    public var pointer: UnsafeMutablePointer<Float> { storage.address.assumingMemoryBound(to: Float.self) }
    public var values: UnsafeMutableBufferPointer<Float> { UnsafeMutableBufferPointer(start: pointer, count: count) }
}
