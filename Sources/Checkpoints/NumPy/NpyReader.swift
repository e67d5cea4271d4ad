public import SystemPackage
public import TensorCore

/// Reads a bare .npy file: one tensor, named `arr`.
///
/// Little-endian row-major data is used where it is mapped; other data is decoded into memory, in ranges where that is enough.
public final class NpyReader: CheckpointReader {
    /// The name of the tensor, which the format does not give it.
    public static let tensorName: TensorName = "arr"

    public let descriptors: [TensorDescriptor]
    public let warnings: [Warning]
    private let file: MappedFile
    private let header: NpyHeader
    private let memoryByteCount: Int?

    /// Opens a file and checks its header; data is not touched.
    ///
    /// - Throws: `FormatError` with the offset of the first rule that is broken, `IOError` when the file cannot be read.
    public init(opening path: FilePath, options: ReadOptions) throws {
        file = try MappedFile(path)
        let source = NpySource(file: path, tensor: nil, position: 0)
        header = try NpyHeader(file.bytes, source: source, options: options)
        descriptors = [
            try header.descriptor(named: Self.tensorName, total: file.byteCount, isCompressed: false, source: source)
        ]
        memoryByteCount = options.memoryByteCount
        warnings = options.notes + [header.warning(about: Self.tensorName)].compactMap { $0 }
    }

    public var format: FormatID { .npy }
    public var path: FilePath { file.path }
    public var files: [FilePath] { [path] }
    /// Empty: the format has none.
    public var metadata: Metadata { Metadata() }

    private var data: Range<Int> { header.byteCount..<file.byteCount }

    public func bytes(of index: Int) throws -> TensorBytes {
        if header.isNative { return TensorBytes(mapped: file, range: data) }
        if let memoryByteCount {
            try requireMemory(memoryByteCount, for: descriptors[index].byteCount, toDecode: index)
        }
        return TensorBytes(decoded: try header.decode(UnsafeRawBufferPointer(rebasing: file.bytes[data])))
    }

    public func isMapped(_ index: Int) -> Bool { header.isNative }
    public func canReadRanges(of index: Int) -> Bool { true }
    public func decodedTogetherByteCount(of index: Int) -> Int { 0 }

    public func read(_ range: Range<Int>, of index: Int, into target: UnsafeMutableRawBufferPointer) throws {
        header.read(range, of: UnsafeRawBufferPointer(rebasing: file.bytes[data]), into: target)
    }

    public func location(of index: Int) -> StoredLocation { StoredLocation(file: path, range: data) }

    /// Reads the file to its end, which is all that can be checked: the format has no checksum.
    ///
    /// - Throws: as `CheckpointReader.verify`.
    public func verify(
        deep: Bool, threads: Int, progress: @escaping @Sendable (Int) -> Void
    ) throws -> Verification {
        let faults = try FileScan.faults(of: path, byteCount: file.byteCount, threads: threads, progress: progress)
        return Verification(
            checkedByteCount: file.byteCount - faults.reduce(0) { $0 + $1.range.count },
            damage: faults.map { fault in
                Damage(
                    tensor: Self.tensorName, file: path, offset: fault.range.lowerBound,
                    byteCount: fault.range.count, reason: "the data \(fault.reason)")
            })
    }
}
