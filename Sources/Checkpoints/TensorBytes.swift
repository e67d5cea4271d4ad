import TensorCore

/// The little-endian row-major bytes of one tensor: a view of a mapped file, or decoded into memory of its own.
///
/// Keeps whatever holds the bytes alive. The start may have any alignment.
public final class TensorBytes: Sendable {
    private let owner: any AnyObject & Sendable
    // Safety: points into memory that `owner` keeps alive and that nobody writes.
    private nonisolated(unsafe) let buffer: UnsafeRawBufferPointer

    /// A view of part of a mapped file.
    ///
    /// - Precondition: the range lies inside the file.
    public init(mapped file: MappedFile, range: Range<Int>) {
        owner = file
        buffer = UnsafeRawBufferPointer(rebasing: file.bytes[range])
    }

    /// Bytes that were decoded into a buffer, which must not change any more.
    public init(decoded: AlignedBuffer) {
        owner = decoded
        buffer = decoded.bytes
    }

    public var count: Int { buffer.count }

    /// Drops the pages of a range from this process when the bytes are mapped; they stay valid, and in the page cache.
    package func doneWith(_ range: Range<Int>) {
        guard let file = owner as? MappedFile, let start = buffer.baseAddress, let origin = file.bytes.baseAddress
        else { return }
        let offset = start - origin
        file.doneWith(offset + range.lowerBound..<offset + range.upperBound)
    }

    /// Calls `body` with the bytes; the pointer must not outlive the call.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try withExtendedLifetime(owner) { try body(buffer) }
    }
}
