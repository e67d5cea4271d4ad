import Synchronization
import SystemPackage
import TensorCore

/// Writes a safetensors file; see `SafetensorsLayout` for order and header.
public final class SafetensorsWriter: CheckpointWriter {
    private let output: AtomicOutput
    private let byteCounts: [Int]
    private let offsets: [Int]
    private let fileByteCount: Int
    private let dataByteCount: Int
    private let writtenByteCount = Atomic<Int>(0)
    private let older: OlderShards?

    /// Lays the file out, reserves its space and writes the header.
    ///
    /// - Throws: `FormatError` when the format cannot hold the tensors, `IOError` when the file cannot be made; `io.exists` also when
    ///   shards of that name are there and may not be replaced.
    public init(
        creating path: FilePath, declaring descriptors: [TensorDescriptor], metadata: Metadata = Metadata(),
        options: WriteOptions = WriteOptions()
    ) throws {
        let layout = try SafetensorsLayout(descriptors, metadata: metadata, file: path)
        older = OlderShards(of: path)
        try older?.requireReplaceable(options)
        output = try AtomicOutput(creating: path, byteCount: layout.fileByteCount, options: options)
        byteCounts = descriptors.map(\.byteCount)
        offsets = layout.offsets
        fileByteCount = layout.fileByteCount
        dataByteCount = layout.fileByteCount - layout.head.count
        try output.write(layout.head, at: 0)
    }

    /// Writes part of a tensor.
    ///
    /// - Precondition: the bytes lie inside the tensor.
    /// - Throws: `IOError`.
    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        precondition(
            offset >= 0 && offset <= byteCounts[tensor] && bytes.count <= byteCounts[tensor] - offset,
            "bytes outside of the tensor")
        try output.write(bytes, at: offsets[tensor] + offset)
        writtenByteCount.wrappingAdd(bytes.count, ordering: .relaxed)
    }

    /// Where the file goes.
    var path: FilePath { output.path }

    /// Flushes the file ahead of `finish()`; see `AtomicOutput.flush()`.
    func flush() throws(IOError) { try output.flush() }

    /// Flushes the file and gives it its name; shards of that name go.
    ///
    /// - Precondition: every byte of every tensor was written.
    /// - Throws: `IOError`.
    public func finish() throws -> WrittenCheckpoint {
        precondition(writtenByteCount.load(ordering: .relaxed) == dataByteCount, "part of the data was not written")
        try output.commit()
        // The new file is found before an index.
        older?.removeIndex()
        older?.removeShards()
        return WrittenCheckpoint(files: [output.path], byteCount: fileByteCount)
    }
}
