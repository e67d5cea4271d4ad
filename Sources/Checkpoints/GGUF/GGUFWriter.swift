import Synchronization
import SystemPackage
import TensorCore

/// Writes a GGUF file, version 3; see `GGUFLayout` for order and head.
public final class GGUFWriter: CheckpointWriter {
    private let output: AtomicOutput
    private let byteCounts: [Int]
    private let layout: GGUFLayout
    private let writtenByteCount = Atomic<Int>(0)

    /// Lays the file out, reserves its space and writes the head.
    ///
    /// - Throws: `FormatError` when the format cannot hold the tensors, `IOError` when the file cannot be made.
    public init(
        creating path: FilePath, declaring descriptors: [TensorDescriptor], metadata: GGUFMetadata,
        options: WriteOptions = WriteOptions()
    ) throws {
        layout = try GGUFLayout(descriptors, metadata: metadata, file: path)
        output = try AtomicOutput(creating: path, byteCount: layout.fileByteCount, options: options)
        byteCounts = descriptors.map(\.byteCount)
        try output.write(layout.head, at: 0)
        try writePadding()
    }

    /// Zeros behind each tensor, to the beginning of the next.
    private func writePadding() throws(IOError) {
        for (index, byteCount) in byteCounts.enumerated() {
            let end = layout.offsets[index] + byteCount
            let next = index + 1 < byteCounts.count ? layout.offsets[index + 1] : layout.fileByteCount
            if end < next { try output.write([UInt8](repeating: 0, count: next - end), at: end) }
        }
    }

    /// Writes part of a tensor; of a quantised one the bytes of its blocks.
    ///
    /// - Precondition: the bytes lie inside the tensor.
    /// - Throws: `IOError`.
    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        precondition(
            offset >= 0 && offset <= byteCounts[tensor] && bytes.count <= byteCounts[tensor] - offset,
            "bytes outside of the tensor")
        try output.write(bytes, at: layout.offsets[tensor] + offset)
        writtenByteCount.wrappingAdd(bytes.count, ordering: .relaxed)
    }

    /// Flushes the file and gives it its name.
    ///
    /// - Precondition: every byte of every tensor was written.
    /// - Throws: `IOError`.
    public func finish() throws -> WrittenCheckpoint {
        precondition(
            writtenByteCount.load(ordering: .relaxed) == byteCounts.reduce(0, +), "part of the data was not written")
        try output.commit()
        return WrittenCheckpoint(files: [output.path], byteCount: layout.fileByteCount)
    }
}
