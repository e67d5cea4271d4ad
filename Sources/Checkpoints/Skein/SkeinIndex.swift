import SystemPackage
import TensorCore

// The index: records one after the other, each with its own length, so that later versions can add fields at their ends.
//
//     file      4  byte count of what follows in this record
//               4  number of tensors
//               4  number of metadata entries
//               4  byte count of the base's file name, 0 without a base
//               16 identity of the base, zero without one
//               .. the base's file name without its folder, UTF-8
//     metadata  for each entry, sorted by the bytes of the keys:
//               4  byte count of the key, 4 of the value, then both in UTF-8
//     tensors   for each tensor, in the order of their chunks:
//               4  byte count of what follows in this record
//               1  flags: bit 0 contiguous: one chunk with the bytes as they are; bit 1: some chunk needs the base;
//                  bit 2: behind the payload come the hashes of its blocks, 16 bytes each (contiguous only)
//               1  byte count of the dtype's name
//               2  bits of an element
//               4  rank
//               4  byte count of the tensor's name
//               4  zero
//               8  bytes of tensor data in a chunk; the last chunk has the rest
//               16 content hash
//               8  for each dimension, slowest first
//               .. the dtype's name, the tensor's name, UTF-8
//               24 for each chunk: offset in the file, byte count of header and payload, checksum
//                  of the header

/// Where a chunk lies, and what its header must be.
struct SkeinChunkPlace: Equatable {
    var offset = 0
    /// Of header and payload.
    var storedByteCount = 0
    var headerChecksum: UInt64 = 0

    /// Header, payload and the padding behind it.
    var range: Range<Int> { offset..<storedRange.upperBound.roundedUpToSkeinAlignment }
    /// Header and payload.
    var storedRange: Range<Int> { offset..<offset + storedByteCount }
}

/// One tensor as the index describes it.
struct SkeinTensor {
    let descriptor: TensorDescriptor
    /// Bytes of tensor data in each chunk but the last.
    let chunkByteCount: Int
    /// The places of the chunks in the table of all chunks.
    let chunks: Range<Int>
    var isContiguous = false
    var needsBase = false
    /// Whether the hashes of its blocks follow the payload of a contiguous tensor.
    var hasBlockHashes = false
    var contentHash = ContentHash.none

    /// The size of the hashes behind the payload.
    var blockHashByteCount: Int { hasBlockHashes ? 16 * SkeinHash.blockCount(byteCount: descriptor.byteCount) : 0 }

    /// The bytes of a block that is hashed by itself.
    func block(_ number: Int) -> Range<Int> {
        let start = number * SkeinHash.blockByteCount
        return start..<start + min(SkeinHash.blockByteCount, descriptor.byteCount - start)
    }

    /// The part of the tensor's bytes that a chunk holds.
    func range(ofChunk chunk: Int) -> Range<Int> {
        let start = chunk * chunkByteCount
        return start..<start + min(chunkByteCount, descriptor.byteCount - start)
    }

    static func chunkCount(byteCount: Int, chunkByteCount: Int) -> Int {
        byteCount / chunkByteCount + (byteCount % chunkByteCount > 0 ? 1 : 0)
    }
}

/// The base that a file was written against.
struct SkeinBaseReference: Equatable {
    let identity: ContentHash
    /// Its file name without the folder.
    let fileName: String
}

/// Everything that a file says about its tensors.
struct SkeinIndex {
    var base: SkeinBaseReference?
    var metadata: Metadata
    var tensors: [SkeinTensor]
    var chunks: [SkeinChunkPlace]

    /// The sizes of chunks that are decoded as a whole, of which the powers of two.
    ///
    /// The largest bounds what a decoder needs. The smallest keeps noise below 100.1 %: a chunk costs 112 bytes beyond its
    /// data, its header and its place in both copies of the index, which is 0.085 % of 128 KiB.
    static let chunkByteCounts = 128 << 10...16 << 20

    static func isChunkByteCount(_ count: Int) -> Bool {
        chunkByteCounts.contains(count) && count & (count - 1) == 0
    }

    /// What a file may decode to by its size: more than zeros do in chunks of 1 MiB.
    static func decodedByteLimit(fileByteCount: Int) -> Int {
        let (limit, overflow) = fileByteCount.multipliedReportingOverflow(by: 8192)
        return overflow ? .max : limit
    }

    /// Lines about tensors that decode to far more than they take: zeros do so honestly, attacks too.
    var expansionWarnings: [Warning] {
        tensors.compactMap { tensor in
            let stored = chunks[tensor.chunks].reduce(0) { $0 + $1.storedByteCount }
            guard tensor.descriptor.byteCount > 64 << 20, tensor.descriptor.byteCount / 1000 > stored else {
                return nil
            }
            return Warning(
                FormatWarning.expansion,
                "tensor \"\(tensor.descriptor.name)\" decodes \(stored) bytes to \(tensor.descriptor.byteCount), over a "
                    + "thousand times as many")
        }
    }

    /// The identity of the checkpoint: what a base is recognised by.
    var identity: ContentHash {
        ContentHash.identity(of: tensors.map { ($0.descriptor, $0.contentHash) })
    }
}

// MARK: - Writing

extension SkeinIndex {
    /// The bytes of the index; their number depends on the declaration alone.
    func encoded() -> [UInt8] {
        var bytes = SkeinBytes()
        let baseName = Array((base?.fileName ?? "").utf8)
        bytes.append(UInt32(28 + baseName.count))
        bytes.append(UInt32(tensors.count))
        bytes.append(UInt32(metadata.entries.count))
        bytes.append(UInt32(baseName.count))
        bytes.append((base?.identity ?? .none).bytes)
        bytes.append(baseName)
        let sorted = metadata.entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        for entry in sorted {
            bytes.append(UInt32(entry.key.utf8.count))
            bytes.append(UInt32(entry.value.utf8.count))
            bytes.append(entry.key.utf8)
            bytes.append(entry.value.utf8)
        }
        for tensor in tensors { append(tensor, to: &bytes) }
        return bytes.content
    }

    private func append(_ tensor: SkeinTensor, to bytes: inout SkeinBytes) {
        let dtype = tensor.descriptor.dtype
        let dims = tensor.descriptor.shape.dims
        let name = tensor.descriptor.name.text.utf8
        bytes.append(UInt32(Self.recordByteCount(of: tensor)))
        bytes.append(
            UInt8((tensor.isContiguous ? 1 : 0) | (tensor.needsBase ? 2 : 0) | (tensor.hasBlockHashes ? 4 : 0)))
        bytes.append(UInt8(dtype.rawValue.utf8.count))
        bytes.append(UInt16(dtype.bitWidth))
        bytes.append(UInt32(dims.count))
        bytes.append(UInt32(name.count))
        bytes.append(UInt32(0))
        bytes.append(UInt64(tensor.chunkByteCount))
        bytes.append(tensor.contentHash.bytes)
        for dim in dims { bytes.append(UInt64(dim)) }
        bytes.append(dtype.rawValue.utf8)
        bytes.append(name)
        for place in chunks[tensor.chunks] {
            bytes.append(UInt64(place.offset))
            bytes.append(UInt64(place.storedByteCount))
            bytes.append(place.headerChecksum)
        }
    }

    private static func recordByteCount(of tensor: SkeinTensor) -> Int {
        40 + 8 * tensor.descriptor.shape.rank + tensor.descriptor.dtype.rawValue.utf8.count
            + tensor.descriptor.name.text.utf8.count + 24 * tensor.chunks.count
    }

    /// Checks that every length fits its field, before anything is allocated by it.
    ///
    /// - Throws: `FormatError` `header_too_large`, `duplicate_key` for a name declared twice.
    private static func check(
        _ tensors: [SkeinTensor], metadata: Metadata, file: FilePath
    ) throws(FormatError) {
        func tooLarge(_ what: String, _ tensor: TensorName? = nil) -> FormatError {
            FormatError(.headerTooLarge, "\(what) is too large for the index", file: file, tensor: tensor)
        }
        guard tensors.count <= Int(UInt32.max), metadata.entries.count <= Int(UInt32.max) else {
            throw tooLarge("the number of tensors")
        }
        for entry in metadata.entries
        where entry.key.utf8.count > Int(UInt32.max) || entry.value.utf8.count > Int(UInt32.max) {
            throw tooLarge("a metadata entry")
        }
        var names: Set<TensorName> = []
        for tensor in tensors {
            let name = tensor.descriptor.name
            guard names.insert(name).inserted else {
                throw FormatError(.duplicateKey, "two tensors are named \"\(name)\"", file: file, tensor: name)
            }
            // The places of all chunks are held in memory, so that their number in all has the limit of one record's.
            guard tensor.chunks.upperBound < Int(UInt32.max) / 24,
                Self.recordByteCount(of: tensor) <= Int(UInt32.max)
            else { throw tooLarge("the entry of tensor \"\(name)\"", name) }
        }
    }

    /// The index of tensors that have not been written yet.
    ///
    /// - Throws: `FormatError` `header_too_large`, `duplicate_key` for a name declared twice.
    init(
        _ descriptors: [TensorDescriptor], chunkByteCount: (TensorDescriptor) -> Int, metadata: Metadata,
        base: SkeinBaseReference?, file: FilePath
    ) throws(FormatError) {
        var tensors: [SkeinTensor] = []
        var chunkCount = 0
        for descriptor in descriptors {
            let size = chunkByteCount(descriptor)
            let count = SkeinTensor.chunkCount(byteCount: descriptor.byteCount, chunkByteCount: size)
            let (end, overflow) = chunkCount.addingReportingOverflow(count)
            // A sum that overflows is too large by far, as the check finds.
            let chunks = chunkCount..<(overflow ? .max : end)
            tensors.append(SkeinTensor(descriptor: descriptor, chunkByteCount: size, chunks: chunks))
            chunkCount = chunks.upperBound
        }
        try Self.check(tensors, metadata: metadata, file: file)
        self.init(
            base: base, metadata: metadata, tensors: tensors,
            chunks: Array(repeating: SkeinChunkPlace(), count: chunkCount))
    }
}
