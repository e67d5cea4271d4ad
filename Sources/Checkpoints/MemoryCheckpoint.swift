import Synchronization
import SystemPackage
import TensorCore

/// A checkpoint that never was a file: the result of a merge that is only measured, or tensors made by a program.
public final class MemoryCheckpoint: CheckpointReader {
    public let descriptors: [TensorDescriptor]
    public let metadata: Metadata
    private let contents: [TensorBytes]

    /// The format that the tensors would be written in; safetensors holds every type.
    public var format: FormatID { .safetensors }
    public var path: FilePath { "(memory)" }
    public var files: [FilePath] { [] }
    public var warnings: [Warning] { [] }

    /// Wraps tensors whose buffers nobody changes any more.
    ///
    /// - Precondition: every buffer has the size that its descriptor states.
    public init(tensors: [(descriptor: TensorDescriptor, data: AlignedBuffer)], metadata: Metadata = Metadata()) {
        for (descriptor, data) in tensors {
            precondition(data.byteCount == descriptor.byteCount, "\(descriptor.name) has another size than its buffer")
        }
        descriptors = tensors.map(\.descriptor)
        contents = tensors.map { TensorBytes(decoded: $0.data) }
        self.metadata = metadata
    }

    public func bytes(of index: Int) throws -> TensorBytes { contents[index] }

    /// True: the tensor is there already, so handing it out costs no memory.
    public func isMapped(_ index: Int) -> Bool { true }

    public func location(of index: Int) -> StoredLocation {
        StoredLocation(file: path, range: 0..<descriptors[index].byteCount)
    }

    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        Verification(checkedByteCount: descriptors.reduce(0) { $0 + $1.byteCount })
    }
}

/// Collects a checkpoint in memory.
public final class MemoryCheckpointWriter: CheckpointWriter {
    private let descriptors: [TensorDescriptor]
    private let metadata: Metadata
    private let buffers: [AlignedBuffer]
    private let finished = Mutex<MemoryCheckpoint?>(nil)

    /// Takes memory for all tensors.
    ///
    /// - Throws: `IOError` `io.memory` when there is no room for the tensors.
    public init(declaring descriptors: [TensorDescriptor], metadata: Metadata = Metadata()) throws(IOError) {
        self.descriptors = descriptors
        self.metadata = metadata
        var buffers: [AlignedBuffer] = []
        for descriptor in descriptors { buffers.append(try AlignedBuffer(byteCount: descriptor.byteCount)) }
        self.buffers = buffers
    }

    /// The checkpoint, once `finish()` has returned.
    public var checkpoint: MemoryCheckpoint? { finished.withLock { $0 } }

    public func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
        // Safety: bounds are checked here; the protocol's contract keeps ranges of different threads apart.
        let target = buffers[tensor].mutableBytes
        precondition(offset >= 0 && bytes.count <= target.count - offset, "write beyond the end of a tensor")
        UnsafeMutableRawBufferPointer(rebasing: target[offset..<offset + bytes.count]).copyMemory(from: bytes)
    }

    public func finish() throws -> WrittenCheckpoint {
        let checkpoint = MemoryCheckpoint(tensors: Array(zip(descriptors, buffers)), metadata: metadata)
        finished.withLock { $0 = checkpoint }
        return WrittenCheckpoint(files: [], byteCount: buffers.reduce(0) { $0 + $1.byteCount })
    }
}
