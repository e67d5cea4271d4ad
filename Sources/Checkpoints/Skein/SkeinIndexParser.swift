import SystemPackage
import TensorCore

/// Reads an index whose checksum was right, and still takes nothing on trust.
struct SkeinIndexParser {
    private var fields: SkeinFields
    private let features: SkeinFeatures
    private let extent: SkeinExtent
    private let file: FilePath
    /// What the tensors may decode to in all.
    private let decodedByteLimit: Int
    private var decodedByteCount = 0
    private var chunks: [SkeinChunkPlace] = []
    private var position: Int

    /// Reads the whole index.
    ///
    /// - Throws: `FormatError` with the tensor and the byte offset of the first rule that is broken.
    static func parse(
        _ bytes: UnsafeRawBufferPointer, features: SkeinFeatures, extent: SkeinExtent, expansionAllowance: Int,
        file: FilePath
    ) throws(FormatError) -> SkeinIndex {
        let limit = max(expansionAllowance, SkeinIndex.decodedByteLimit(fileByteCount: extent.fileByteCount))
        var parser = SkeinIndexParser(
            bytes, features: features, extent: extent, decodedByteLimit: limit, file: file)
        do { return try parser.index() } catch let error as FormatError { throw error } catch {
            throw parser.fault(.badIndex, "the index ends inside of a record")
        }
    }

    private init(
        _ bytes: UnsafeRawBufferPointer, features: SkeinFeatures, extent: SkeinExtent, decodedByteLimit: Int,
        file: FilePath
    ) {
        fields = SkeinFields(bytes)
        self.features = features
        self.extent = extent
        self.decodedByteLimit = decodedByteLimit
        self.file = file
        position = extent.chunks.lowerBound
    }

    private func fault(_ category: FormatCategory, _ message: String, tensor: TensorName? = nil) -> FormatError {
        FormatError(
            category, message, file: file, tensor: tensor, byteOffset: extent.firstIndex.lowerBound + fields.position)
    }

    private mutating func index() throws -> SkeinIndex {
        var record = try nextRecord()
        let tensorCount = try record.take(UInt32.self)
        let metadataCount = try record.take(UInt32.self)
        let baseNameByteCount = try record.take(UInt32.self)
        let baseIdentity = ContentHash(try record.take(byteCount: 16))
        let base = try base(named: try record.take(byteCount: baseNameByteCount), identity: baseIdentity)
        let metadata = try metadata(count: metadataCount)
        var tensors: [SkeinTensor] = []
        var names: Set<TensorName> = []
        for _ in 0..<tensorCount {
            let tensor = try tensor(hasBase: base != nil)
            for name in tensor.members?.descriptors.map(\.name) ?? [tensor.descriptor.name] {
                guard names.insert(name).inserted else {
                    throw fault(.duplicateKey, "two tensors are named \"\(name)\"", tensor: name)
                }
            }
            tensors.append(tensor)
        }
        guard fields.remainingByteCount == 0 else {
            throw fault(.trailingBytes, "\(fields.remainingByteCount) bytes follow the last tensor of the index")
        }
        guard position == extent.chunks.upperBound else {
            throw fault(
                .hole,
                "the chunks end at byte \(position) but the index behind them begins at \(extent.chunks.upperBound)")
        }
        return SkeinIndex(
            base: base, metadata: metadata, tensors: tensors, chunks: chunks,
            isCompact: features.contains(.compact))
    }

    private mutating func nextRecord() throws -> SkeinFields {
        SkeinFields(try fields.take(byteCount: fields.take(UInt32.self)))
    }

    private func base(named name: UnsafeRawBufferPointer, identity: ContentHash) throws -> SkeinBaseReference? {
        if name.isEmpty { return nil }
        guard let text = name.validatedText else { throw fault(.invalidUTF8, "the name of the base is not UTF-8") }
        // The name is looked up beside the file, so it must stay there.
        guard !text.contains("/"), !text.contains("\0"), text != ".", text != ".." else {
            throw fault(
                .pathTraversal, "the name of the base, \"\(text.escapingControlCharacters)\", is not that of a file")
        }
        return SkeinBaseReference(identity: identity, fileName: text)
    }

    private mutating func metadata(count: UInt32) throws -> Metadata {
        var entries: [Metadata.Entry] = []
        for _ in 0..<count {
            let keyByteCount = try fields.take(UInt32.self)
            let valueByteCount = try fields.take(UInt32.self)
            guard let key = try fields.take(byteCount: keyByteCount).validatedText,
                let value = try fields.take(byteCount: valueByteCount).validatedText
            else { throw fault(.invalidUTF8, "a metadata entry is not UTF-8") }
            if let last = entries.last, !last.key.utf8.lexicographicallyPrecedes(key.utf8) {
                throw fault(
                    .badMetadata, "the metadata key \"\(key.escapingControlCharacters)\" is repeated or out of order")
            }
            entries.append(Metadata.Entry(key: key, value: value))
        }
        return Metadata(uniqueEntries: entries)
    }

    private mutating func tensor(hasBase: Bool) throws -> SkeinTensor {
        var record = try nextRecord()
        let flags = try record.take(UInt8.self)
        let dtypeByteCount = try record.take(UInt8.self)
        let bitWidth = try record.take(UInt16.self)
        let rank = try record.take(UInt32.self)
        let nameByteCount = try record.take(UInt32.self)
        _ = try record.take(UInt32.self)
        let chunkByteCount = try record.take(UInt64.self)
        let contentHash = ContentHash(try record.take(byteCount: 16))
        var dims: [UInt64] = []
        for _ in 0..<rank { dims.append(try record.take(UInt64.self)) }
        let dtypeBytes = try record.take(byteCount: dtypeByteCount)
        guard let text = try record.take(byteCount: nameByteCount).validatedText else {
            throw fault(.invalidUTF8, "the name of a tensor is not UTF-8")
        }
        let name = TensorName(text)
        guard let dtypeName = dtypeBytes.validatedText, let dtype = DType(rawValue: dtypeName),
            dtype.bitWidth == Int(bitWidth)
        else {
            let shown = String(decoding: dtypeBytes, as: UTF8.self).escapingControlCharacters
            throw fault(
                .unknownDtype, "tensor \"\(name)\" has the unknown dtype \"\(shown)\" of \(bitWidth) bits", tensor: name
            )
        }
        let descriptor = try descriptor(name, dtype, dims)
        try count(descriptor.byteCount, tensor: name)
        let isContiguous = flags & 1 != 0
        let isShared = flags & 8 != 0
        guard flags < (features.contains(.compact) ? 16 : 8), flags & 5 != 4, hasBase || flags & 2 == 0,
            let chunkByteCount = Int(exactly: chunkByteCount),
            SkeinIndex.isChunkByteCount(chunkByteCount)
                || isContiguous && chunkByteCount == descriptor.byteCount
                    && chunkByteCount > 0,
            !isShared || !isContiguous && text.isEmpty && rank == 1
        else {
            throw fault(.badIndex, "the flags \(flags) or the chunk size of tensor \"\(name)\" are wrong", tensor: name)
        }
        let chunkCount = SkeinTensor.chunkCount(byteCount: descriptor.byteCount, chunkByteCount: chunkByteCount)
        guard chunkCount <= record.remainingByteCount / 24, !isContiguous || chunkCount == 1 else {
            throw fault(.badIndex, "the chunks of tensor \"\(name)\" are not all in the index", tensor: name)
        }
        let first = chunks.count
        var tensor = SkeinTensor(
            descriptor: descriptor, chunkByteCount: chunkByteCount, chunks: first..<first + chunkCount,
            isContiguous: isContiguous, needsBase: flags & 2 != 0, hasBlockHashes: flags & 4 != 0,
            contentHash: contentHash)
        for chunk in 0..<chunkCount { try takeChunk(chunk, of: tensor, from: &record) }
        if isShared { tensor.members = try members(of: descriptor, from: &record) }
        return tensor
    }

    /// Takes the table of the tensors that share chunks, which counts as data for what it decodes to.
    private mutating func members(
        of whole: TensorDescriptor, from record: inout SkeinFields
    ) throws -> SkeinMembers {
        do {
            let (members, tableByteCount) = try SkeinMembers.parse(
                &record, whole: whole, limit: decodedByteLimit - decodedByteCount)
            try count(tableByteCount, tensor: whole.name)
            return members
        } catch let error as SkeinMembers.Fault {
            throw fault(.badIndex, "tensors that share chunks cannot be told apart: \(error.reason)")
        }
    }

    /// Adds a tensor to what the file decodes to, which has a limit: a chunk of constant bytes takes next to nothing.
    private mutating func count(_ byteCount: Int, tensor name: TensorName) throws(FormatError) {
        let (sum, overflow) = decodedByteCount.addingReportingOverflow(byteCount)
        guard !overflow, sum <= decodedByteLimit else {
            throw FormatError(
                .zipBomb,
                "\(file.string) has \(extent.fileByteCount) bytes but claims to hold more than \(decodedByteLimit) from tensor "
                    + "\"\(name)\" on", file: file, tensor: name,
                byteOffset: extent.firstIndex.lowerBound + fields.position)
        }
        decodedByteCount = sum
    }

    private func descriptor(_ name: TensorName, _ dtype: DType, _ dims: [UInt64]) throws -> TensorDescriptor {
        var sizes: [Int] = []
        for dim in dims {
            guard let size = Int(exactly: dim) else {
                throw fault(
                    .overflow, "tensor \"\(name)\" has the dimension \(dim), more than 63 bits can count", tensor: name)
            }
            sizes.append(size)
        }
        do { return try TensorDescriptor(name: name, dtype: dtype, shape: Shape(sizes)) } catch {
            switch error {
            case .overflow:
                throw fault(
                    .overflow, "tensor \"\(name)\" of shape \(Shape(sizes)) is larger than 63 bits can count",
                    tensor: name)
            case .partialUnit(let elements):
                throw fault(
                    .misalignedSubbyte,
                    "tensor \"\(name)\" has \(elements * dtype.bitWidth) bits, not whole bytes", tensor: name)
            }
        }
    }

    /// Takes the place of a chunk, which must begin where the one before it ended.
    private mutating func takeChunk(_ chunk: Int, of tensor: SkeinTensor, from record: inout SkeinFields) throws {
        let name = tensor.descriptor.name
        let offset = try record.take(UInt64.self)
        let storedByteCount = try record.take(UInt64.self)
        let headerChecksum = try record.take(UInt64.self)
        guard offset == UInt64(position) else {
            throw fault(
                offset > UInt64(position) ? .hole : .overlap,
                "chunk \(chunk) of tensor \"\(name)\" begins at byte \(offset) but what is before it ends at \(position)",
                tensor: name)
        }
        let raw = tensor.range(ofChunk: chunk).count
        guard let storedByteCount = Int(exactly: storedByteCount), storedByteCount > SkeinChunkHeader.minimumByteCount,
            storedByteCount <= raw + SkeinChunkHeader.maximumByteCount + tensor.blockHashByteCount,
            !tensor.isContiguous
                || storedByteCount == raw + SkeinChunkHeader.minimumByteCount + tensor.blockHashByteCount
        else {
            throw fault(
                .sizeMismatch, "chunk \(chunk) of tensor \"\(name)\" takes \(storedByteCount) bytes for \(raw)",
                tensor: name)
        }
        guard storedByteCount <= extent.chunks.upperBound - position else {
            throw fault(
                .badOffsets, "chunk \(chunk) of tensor \"\(name)\" reaches into the index behind the chunks",
                tensor: name)
        }
        let place = SkeinChunkPlace(
            offset: position, storedByteCount: storedByteCount, headerChecksum: headerChecksum)
        chunks.append(place)
        position = place.range.upperBound
    }
}
