import Kernels
import Synchronization
import SystemPackage
import TensorCore

/// The checkpoint that another is stored against.
final class SkeinBase: Sendable {
    let store: TensorStore
    private let threads: Int
    private let identityCache = Mutex<ContentHash?>(nil)
    /// The tensors that could only be decoded whole, most recent last.
    private let decoded = Mutex<[(index: Int, bytes: TensorBytes)]>([])
    private let buffers = Mutex<[AlignedBuffer]>([])

    /// Takes a checkpoint as a base.
    ///
    /// - Throws: `FormatError` `wrong_base` when the base itself needs a base: a chain would multiply the loss from one damaged
    ///   file, and could be circular.
    init(_ store: TensorStore, threads: Int) throws(FormatError) {
        self.store = store
        self.threads = threads
        if let reader = store.reader as? SkeinReader, let name = reader.baseFileName,
            reader.descriptors.indices.contains(where: reader.needsBase)
        {
            throw FormatError(
                .wrongBase,
                "\(store.path.string) cannot be a base: it is itself stored as the difference to "
                    + "\"\(name.escapingControlCharacters)\"",
                file: store.path, hint: "convert it to a file of its own first")
        }
    }

    /// How a file refers to the base: by the last name of the path that the user gave, be it of a file or of a folder.
    func reference() throws -> SkeinBaseReference {
        let given = store.openedPath.lastComponent
        // `.` and `..` name no folder that lies beside a file; the checkpoint inside may.
        let name = given?.kind == .regular ? given : store.path.lastComponent
        return SkeinBaseReference(identity: try identity(), fileName: name?.string ?? store.path.string)
    }

    /// Bytes of a tensor that are hashed at a time.
    private static let pieceByteCount = 16 * SkeinHash.blockByteCount

    /// The identity of all its tensors; reads them through unless the format carries their hashes.
    ///
    /// Reads in pieces; of tensors that decode only whole, one is in memory at a time.
    func identity() throws -> ContentHash {
        if let known = identityCache.withLock({ $0 }) { return known }
        let identity: ContentHash
        if let reader = store.reader as? SkeinReader {
            identity = try reader.identity
        } else {
            let hashes = try store.descriptors.indices.map(contentHash)
            identity = .identity(of: zip(store.descriptors, hashes).map { ($0, $1) })
        }
        identityCache.withLock { $0 = identity }
        return identity
    }

    private func contentHash(of number: Int) throws -> ContentHash {
        let byteCount = store.descriptors[number].byteCount
        let digests = try BlockDigests(byteCount: byteCount)
        let isInRanges = !store.reader.isMapped(number) && store.reader.canReadRanges(of: number)
        let whole = isInRanges ? nil : try store.reader.bytes(of: number)
        let pieceByteCount = Self.pieceByteCount
        try parallel(count: (byteCount + pieceByteCount - 1) / pieceByteCount, threads: threads) { [self] piece in
            let start = piece * pieceByteCount
            let range = start..<start + min(pieceByteCount, byteCount - start)
            if let whole {
                whole.withUnsafeBytes { digests.update(UnsafeRawBufferPointer(rebasing: $0[range]), at: start) }
            } else {
                try withBytes(of: number, range: range) { digests.update($0, at: start) }
            }
        }
        return digests.combined
    }

    /// The tensor of the same name and shape, and of the same dtype or one whose numbers it holds exactly.
    private func index(for descriptor: TensorDescriptor) -> Int? {
        guard let index = store.index(of: descriptor.name) else { return nil }
        let match = store.descriptors[index]
        return Self.serves(match.dtype, for: descriptor.dtype) && match.shape == descriptor.shape ? index : nil
    }

    /// Whether numbers of a type can be the base of those of another: as they are, or cast without a loss.
    static func serves(_ dtype: DType, for other: DType) -> Bool {
        dtype == other || other == .f32 && (dtype == .bf16 || dtype == .f16)
    }

    /// Whether the match of some tensor of an entry of the index has another type.
    func isCast(for tensor: SkeinTensor) -> Bool {
        (tensor.members?.descriptors ?? [tensor.descriptor]).contains { descriptor in
            index(for: descriptor).map { store.descriptors[$0].dtype != descriptor.dtype } ?? false
        }
    }

    /// Whether some tensor with data in a range of an entry of the index has a match.
    func hasMatch(for tensor: SkeinTensor, in range: Range<Int>) -> Bool {
        guard let members = tensor.members else { return index(for: tensor.descriptor) != nil }
        return members.members(in: range).contains { index(for: members.descriptors[$0]) != nil }
    }

    /// Calls `body` with the base's bytes for a range of an entry of the index: nil without a match, zeros where of the tensors
    /// that share it some have none.
    func withBytes<R>(
        for tensor: SkeinTensor, range: Range<Int>, _ body: (UnsafeRawBufferPointer?) throws -> R
    ) throws -> R {
        guard let members = tensor.members else {
            guard let match = index(for: tensor.descriptor) else { return try body(nil) }
            return try withBytes(of: match, range: range, as: tensor.descriptor.dtype, body)
        }
        let buffer = try takeBuffer(range.count)
        defer { buffers.withLock { $0.append(buffer) } }
        let target = UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[..<range.count])
        target.initializeMemory(as: UInt8.self, repeating: 0)
        for member in members.members(in: range) {
            guard let index = index(for: members.descriptors[member]) else { continue }
            let place = members.range(member)
            let part = place.clamped(to: range)
            try withBytes(of: index, range: part.shifted(by: -place.lowerBound), as: tensor.descriptor.dtype) {
                (target.baseAddress! + (part.lowerBound - range.lowerBound)).copyMemory(
                    from: $0.baseAddress!, byteCount: part.count)
            }
        }
        return try body(UnsafeRawBufferPointer(target))
    }

    /// Calls `body` with a range of the bytes that a tensor has as another type, which begins and ends between elements.
    private func withBytes<R>(
        of index: Int, range: Range<Int>, as dtype: DType, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let source = store.descriptors[index].dtype
        guard source != dtype else { return try withBytes(of: index, range: range, body) }
        let ratio = dtype.bitWidth / source.bitWidth
        return try withBytes(of: index, range: range.lowerBound / ratio..<range.upperBound / ratio) { bytes in
            let buffer = try takeBuffer(range.count)
            defer { buffers.withLock { $0.append(buffer) } }
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[..<range.count])
            cast(bytes, from: source, to: target, as: dtype)
            return try body(UnsafeRawBufferPointer(target))
        }
    }

    /// Calls `body` with a range of the bytes of a tensor.
    private func withBytes<R>(of index: Int, range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R) throws
        -> R
    {
        if !store.reader.isMapped(index), store.reader.canReadRanges(of: index) {
            let buffer = try takeBuffer(range.count)
            defer { buffers.withLock { $0.append(buffer) } }
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[..<range.count])
            try store.reader.read(range, of: index, into: target)
            return try body(UnsafeRawBufferPointer(target))
        }
        let bytes = store.reader.isMapped(index) ? try store.reader.bytes(of: index) : try decodedBytes(of: index)
        return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    private func takeBuffer(_ byteCount: Int) throws(IOError) -> AlignedBuffer {
        if let buffer = buffers.withLock({ $0.popLast() }), buffer.byteCount >= byteCount { return buffer }
        return try AlignedBuffer(byteCount: byteCount, isZeroed: false)
    }

    /// A tensor that decodes only whole, such as a deflated one: kept while its chunks are worked on.
    private func decodedBytes(of index: Int) throws -> TensorBytes {
        // The lock is held while decoding, so that others wait for the bytes instead of decoding them too.
        try decoded.withLock { entries in
            if let entry = entries.first(where: { $0.index == index }) { return entry.bytes }
            let bytes = try store.reader.bytes(of: index)
            entries.append((index, bytes))
            if entries.count > 2 { entries.removeFirst() }
            return bytes
        }
    }
}
