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
//                  bit 2: behind the payload come the hashes of its blocks, 16 bytes each (contiguous only);
//                  bit 3: tensors share its chunks (see `SkeinMembers`)
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
//               .. with bit 3: the table of the tensors in it, which has no name itself

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

/// One tensor as the index describes it, or several that share its chunks.
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
    /// The tensors whose data it holds, where it is none itself.
    var members: SkeinMembers?
    /// Their table as it is stored.
    var memberTable: [UInt8] = []

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

    /// The chunks that hold a part of its bytes.
    func chunks(in range: Range<Int>) -> Range<Int> {
        range.isEmpty
            ? 0..<0 : range.lowerBound / chunkByteCount..<(range.upperBound - 1) / chunkByteCount + 1
    }

    /// The names of the tensors that have data in a range.
    func names(in range: Range<Int>) -> [TensorName] {
        guard let members else { return [descriptor.name] }
        return members.members(in: range).map { members.descriptors[$0].name }
    }

    static func chunkCount(byteCount: Int, chunkByteCount: Int) -> Int {
        byteCount / chunkByteCount + (byteCount % chunkByteCount > 0 ? 1 : 0)
    }
}

/// Where the bytes of a tensor lie.
struct SkeinPart {
    /// The entry of the index.
    let entry: Int
    /// Bytes of what the entry holds.
    let range: Range<Int>
}

extension Range where Bound == Int {
    func shifted(by offset: Int) -> Range<Int> { lowerBound + offset..<upperBound + offset }
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

    /// Whether some chunk is packed or refers to a base of another type.
    var isCompact = false

    /// What a reader must know beyond the first form of the format.
    var features: SkeinFeatures { isCompact || tensors.contains { $0.members != nil } ? .compact : [] }

    /// All tensors with the places of their bytes, in the order of the file.
    var parts: [(descriptor: TensorDescriptor, part: SkeinPart)] {
        tensors.enumerated().flatMap { entry, tensor in
            guard let members = tensor.members else {
                return [(tensor.descriptor, SkeinPart(entry: entry, range: 0..<tensor.descriptor.byteCount))]
            }
            return members.descriptors.indices.map {
                (members.descriptors[$0], SkeinPart(entry: entry, range: members.range($0)))
            }
        }
    }

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
                "tensor \"\(tensor.names(in: 0..<1)[0])\" decodes \(stored) bytes to \(tensor.descriptor.byteCount), over a "
                    + "thousand times as many")
        }
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
            (tensor.isContiguous ? 1 : 0) | (tensor.needsBase ? 2 : 0) | (tensor.hasBlockHashes ? 4 : 0)
                | (tensor.members == nil ? 0 : 8) as UInt8)
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
        bytes.append(tensor.memberTable)
    }

    private static func recordByteCount(of tensor: SkeinTensor) -> Int {
        40 + 8 * tensor.descriptor.shape.rank + tensor.descriptor.dtype.rawValue.utf8.count
            + tensor.descriptor.name.text.utf8.count + 24 * tensor.chunks.count + tensor.memberTable.count
    }

    /// Checks that every length fits its field, before anything is allocated by it.
    ///
    /// - Throws: `FormatError` `header_too_large`, `duplicate_key` for a name declared twice.
    private static func check(
        _ descriptors: [TensorDescriptor], _ tensors: [SkeinTensor], metadata: Metadata, file: FilePath
    ) throws(FormatError) {
        func tooLarge(_ what: String, _ tensor: TensorName? = nil) -> FormatError {
            FormatError(.headerTooLarge, "\(what) is too large for the index", file: file, tensor: tensor)
        }
        guard descriptors.count <= Int(UInt32.max), metadata.entries.count <= Int(UInt32.max) else {
            throw tooLarge("the number of tensors")
        }
        for entry in metadata.entries
        where entry.key.utf8.count > Int(UInt32.max) || entry.value.utf8.count > Int(UInt32.max) {
            throw tooLarge("a metadata entry")
        }
        var names: Set<TensorName> = []
        for name in descriptors.map(\.name) {
            guard names.insert(name).inserted else {
                throw FormatError(.duplicateKey, "two tensors are named \"\(name)\"", file: file, tensor: name)
            }
        }
        for tensor in tensors {
            let name = tensor.descriptor.name
            // The places of all chunks are held in memory, so that their number in all has the limit of one record's.
            guard tensor.chunks.upperBound < Int(UInt32.max) / 24,
                Self.recordByteCount(of: tensor) <= Int(UInt32.max)
            else { throw tooLarge("the entry of tensor \"\(name)\"", name) }
        }
    }

    /// The index of tensors that have not been written yet.
    ///
    /// - Parameter groups: the numbers of the tensors, those together that share chunks.
    /// - Throws: `FormatError` `header_too_large`, `duplicate_key` for a name declared twice.
    init(
        _ descriptors: [TensorDescriptor], groups: [[Int]]? = nil, chunkByteCount: (TensorDescriptor) -> Int,
        metadata: Metadata, base: SkeinBaseReference?, file: FilePath
    ) throws(FormatError) {
        var tensors: [SkeinTensor] = []
        var chunkCount = 0
        for group in groups ?? descriptors.indices.map({ [$0] }) {
            let members = group.count > 1 ? SkeinMembers(group.map { descriptors[$0] }) : nil
            let descriptor: TensorDescriptor
            do {
                descriptor = try members?.descriptor(dtype: descriptors[group[0]].dtype) ?? descriptors[group[0]]
            } catch { throw FormatError(.overflow, "small tensors have more than 2^63 bits together", file: file) }
            let size = chunkByteCount(descriptor)
            let count = SkeinTensor.chunkCount(byteCount: descriptor.byteCount, chunkByteCount: size)
            let (end, overflow) = chunkCount.addingReportingOverflow(count)
            // A sum that overflows is too large by far, as the check finds.
            let chunks = chunkCount..<(overflow ? .max : end)
            var tensor = SkeinTensor(descriptor: descriptor, chunkByteCount: size, chunks: chunks)
            tensor.members = members
            tensor.memberTable = members?.encoded() ?? []
            tensors.append(tensor)
            chunkCount = chunks.upperBound
        }
        try Self.check(descriptors, tensors, metadata: metadata, file: file)
        self.init(
            base: base, metadata: metadata, tensors: tensors,
            chunks: Array(repeating: SkeinChunkPlace(), count: chunkCount))
    }
}
