import TensorCore

extension SkeinReader {
    /// The error that names a damaged chunk.
    func damage(_ category: FormatCategory, _ reason: String, tensor number: Int, chunk: Int) -> FormatError {
        let tensor = index.tensors[number]
        let range = tensor.range(ofChunk: chunk)
        let offset = index.chunks[tensor.chunks.lowerBound + chunk].offset
        return FormatError(
            category,
            "tensor \"\(tensor.descriptor.name)\" is damaged in its bytes \(range.lowerBound) to \(range.upperBound): "
                + reason, file: path, tensor: tensor.descriptor.name, byteOffset: offset,
            hint: category == .badChecksum ? "fetch the file again, or keep the rest with `convert --salvage`" : nil)
    }

    /// Reads a chunk and compares its header and its checksums with what the index says.
    ///
    /// - Returns: the header; the payload lies in the decoder's input behind it.
    func load(
        _ chunk: Int, of number: Int, with decoder: SkeinChunkDecoder
    ) throws(FormatError) -> (header: SkeinChunkHeader, payload: UnsafeRawBufferPointer) {
        let place = index.chunks[index.tensors[number].chunks.lowerBound + chunk]
        let stored = UnsafeMutableRawBufferPointer(
            start: decoder.input.address, count: place.storedByteCount)
        do { try file.read(into: stored, at: place.offset) } catch {
            throw damage(.badChecksum, error.reason, tensor: number, chunk: chunk)
        }
        let header = try header(UnsafeRawBufferPointer(stored), chunk: chunk, of: number)
        let payload = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(stored)[header.headerByteCount...])
        guard SkeinHash.tree(payload).low == header.payloadChecksum else {
            throw damage(.badChecksum, "the checksum of its payload is wrong", tensor: number, chunk: chunk)
        }
        return (header, payload)
    }

    /// Reads a header and checks that it is the one that the index means.
    private func header(
        _ bytes: UnsafeRawBufferPointer, chunk: Int, of number: Int
    ) throws(FormatError) -> SkeinChunkHeader {
        let tensor = index.tensors[number]
        let place = index.chunks[tensor.chunks.lowerBound + chunk]
        let header: SkeinChunkHeader
        do {
            header = try SkeinChunkHeader(
                bytes, storedByteCount: place.storedByteCount, expected: place.headerChecksum)
        } catch {
            throw damage(error.category, error.reason, tensor: number, chunk: chunk)
        }
        guard header.tensor == number, header.chunk == chunk, header.byteCount == tensor.range(ofChunk: chunk).count,
            header.planes.count == tensor.descriptor.dtype.scalarByteCount || header.isPlain,
            header.isPlain || !tensor.isContiguous, tensor.needsBase || !header.transform.needsBase
        else { throw damage(.badChunk, "its header does not fit the index", tensor: number, chunk: chunk) }
        return header
    }

    /// Decodes a part of a chunk.
    ///
    /// - Parameter range: bytes of the tensor, inside the chunk.
    func decode(_ range: Range<Int>, of number: Int, chunk: Int, into target: UnsafeMutableRawBufferPointer) throws {
        try decoders.with { decoder in
            let (header, payload) = try load(chunk, of: number, with: decoder)
            try decode(range, of: number, chunk: chunk, header, payload, with: decoder, into: target)
        }
    }

    /// Decodes a part of a chunk that was loaded.
    func decode(
        _ range: Range<Int>, of number: Int, chunk: Int, _ header: SkeinChunkHeader, _ payload: UnsafeRawBufferPointer,
        with decoder: SkeinChunkDecoder, into target: UnsafeMutableRawBufferPointer
    ) throws {
        let whole = index.tensors[number].range(ofChunk: chunk)
        let width = header.planes.count
        // Whole elements around the range.
        let start = (range.lowerBound - whole.lowerBound) / width * width
        let end = min(whole.count, (range.upperBound - whole.lowerBound + width - 1) / width * width)
        let isAligned = end - start == range.count
        let output = isAligned ? target.baseAddress! : decoder.output.address
        func decode(_ base: UnsafeRawPointer?) throws {
            do { try decoder.decode(header, payload, range: start..<end, base: base, into: output) } catch {
                throw damage(error.category, error.reason, tensor: number, chunk: chunk)
            }
        }
        if header.transform.needsBase {
            try withBase(of: number, chunk: chunk, header) { try decode($0.baseAddress! + start) }
        } else {
            try decode(nil)
        }
        if !isAligned {
            target.copyMemory(
                from: UnsafeRawBufferPointer(
                    start: output + (range.lowerBound - whole.lowerBound - start), count: range.count))
        }
    }

    /// Calls `body` with the bytes of the base for a chunk, which are the ones the chunk was written against.
    private func withBase(
        of number: Int, chunk: Int, _ header: SkeinChunkHeader, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let base = try base()
        let tensor = index.tensors[number]
        guard let match = base.index(for: tensor.descriptor) else { throw try wrongBase(base, tensor.descriptor) }
        try base.withBytes(of: match, range: tensor.range(ofChunk: chunk)) { bytes in
            guard SkeinHash.tree(bytes).low == header.baseChecksum else {
                throw try wrongBase(base, tensor.descriptor)
            }
            try body(bytes)
        }
    }

    private func wrongBase(_ base: SkeinBase, _ descriptor: TensorDescriptor) throws -> FormatError {
        FormatError(
            .wrongBase,
            "\(base.store.path.string) is not the base of \(path.string): its identity is \(try base.identity()), not "
                + "\(index.base?.identity ?? .none)", file: path, tensor: descriptor.name,
            hint: "name the right base with --base; it was called \"\(baseFileName?.escapingControlCharacters ?? "")\"")
    }

    /// Checks the header and the contents of a contiguous tensor.
    ///
    /// - Returns: the hash of its contents.
    func checkContiguous(_ number: Int) throws -> ContentHash {
        let tensor = index.tensors[number]
        let place = index.chunks[tensor.chunks.lowerBound]
        let digests = BlockDigests(byteCount: tensor.descriptor.byteCount)
        let buffer = try AlignedBuffer(byteCount: min(1 << 20, tensor.descriptor.byteCount), isZeroed: false)
        let header: SkeinChunkHeader
        do {
            let bytes = try file.read(place.offset..<place.offset + SkeinChunkHeader.minimumByteCount)
            header = try bytes.withUnsafeBytes { (bytes) throws(FormatError) in
                try self.header(bytes, chunk: 0, of: number)
            }
            for start in stride(from: 0, to: tensor.descriptor.byteCount, by: buffer.byteCount) {
                let count = min(buffer.byteCount, tensor.descriptor.byteCount - start)
                let part = UnsafeMutableRawBufferPointer(start: buffer.address, count: count)
                try file.read(into: part, at: place.offset + SkeinChunkHeader.minimumByteCount + start)
                digests.update(UnsafeRawBufferPointer(part), at: start)
            }
        } catch let fault as SkeinFile.Fault {
            throw damage(.badChecksum, fault.reason, tensor: number, chunk: 0)
        }
        let hash = digests.combined
        guard hash.low == header.payloadChecksum else {
            throw damage(.badChecksum, "the checksum of its payload is wrong", tensor: number, chunk: 0)
        }
        return hash
    }
}
