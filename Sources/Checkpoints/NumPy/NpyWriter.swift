import Synchronization
public import SystemPackage
public import TensorCore

/// Writes a bare .npy file, which holds exactly one tensor and no name; the bytes are those of `numpy.save`.
public final class NpyWriter: CheckpointWriter {
    private let output: AtomicOutput
    private let descriptor: TensorDescriptor
    private let headerByteCount: Int
    private let writtenByteCount = Mutex(0)

    /// Starts the file.
    ///
    /// - Throws: `FormatError` when there is not exactly one tensor or NumPy has no such type, `IOError` when the file cannot
    ///   be made.
    public init(creating path: FilePath, declaring descriptors: [TensorDescriptor], options: WriteOptions) throws {
        guard descriptors.count == 1 else {
            throw FormatError(
                .tensorCount, "a .npy file holds exactly one tensor, and there are \(descriptors.count) to write",
                file: path,
                hint: "write a .npz file, or choose one tensor with `--only`")
        }
        descriptor = descriptors[0]
        let header = try NpyHeader.encoded(descriptor, file: path)
        headerByteCount = header.count
        let (total, overflow) = header.count.addingReportingOverflow(descriptor.byteCount)
        guard !overflow else {
            throw FormatError(
                .overflow, "the file would have more than 2^63 bytes", file: path, tensor: descriptor.name)
        }
        output = try AtomicOutput(creating: path, byteCount: total, options: options)
        try output.write(header, at: 0)
    }

    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        guard tensor == 0, offset >= 0, bytes.count <= descriptor.byteCount,
            offset <= descriptor.byteCount - bytes.count
        else {
            throw IOError(
                kind: .failed,
                message: "a write of \(bytes.count) bytes at byte \(offset) lies outside the declared tensor",
                file: output.path.string)
        }
        try output.write(bytes, at: headerByteCount + offset)
        writtenByteCount.withLock { $0 += bytes.count }
    }

    public func finish() throws -> WrittenCheckpoint {
        let written = writtenByteCount.withLock { $0 }
        guard written == descriptor.byteCount else {
            throw IOError(
                kind: .failed, message: "\(written) of the tensor's \(descriptor.byteCount) bytes were written",
                file: output.path.string)
        }
        try output.commit()
        return WrittenCheckpoint(files: [output.path], byteCount: headerByteCount + descriptor.byteCount)
    }
}
