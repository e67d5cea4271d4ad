import TensorCore

extension SkeinReader {
    /// The error that names a damaged chunk.
    func damage(_ category: FormatCategory, _ reason: String, tensor number: Int, chunk: Int) -> FormatError {
        let tensor = index.tensors[number]
        let range = tensor.range(ofChunk: chunk)
        let offset = index.chunks[tensor.chunks.lowerBound + chunk].offset
        let names = tensor.names(in: range)
        let what =
            names.count == 1
            ? "tensor \"\(names[0])\" is damaged in its bytes"
            : "\(names.count) tensors from \"\(names[0])\" on share a chunk that is damaged, their bytes"
        return FormatError(
            category, "\(what) \(range.lowerBound) to \(range.upperBound): " + reason, file: path, tensor: names[0],
            byteOffset: offset,
            hint: category == .badChecksum ? "fetch the file again, or keep the rest with `convert --salvage`" : nil)
    }

    /// Reads a chunk and compares its header and its checksums with what the index says.
    ///
    /// - Returns: the header; the payload lies in the decoder's input behind it.
    func load(
        _ chunk: Int, of number: Int, with decoder: SkeinChunkDecoder
    ) throws(FormatError) -> (header: SkeinChunkHeader, payload: UnsafeRawBufferPointer) {
        decoder.forget()
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
    func header(
        _ bytes: UnsafeRawBufferPointer, chunk: Int, of number: Int
    ) throws(FormatError) -> SkeinChunkHeader {
        let tensor = index.tensors[number]
        let place = index.chunks[tensor.chunks.lowerBound + chunk]
        let header: SkeinChunkHeader
        do {
            header = try SkeinChunkHeader(
                bytes, storedByteCount: place.storedByteCount - tensor.blockHashByteCount,
                expected: place.headerChecksum)
        } catch {
            throw damage(error.category, error.reason, tensor: number, chunk: chunk)
        }
        guard header.tensor == number, header.chunk == chunk, header.byteCount == tensor.range(ofChunk: chunk).count,
            header.planes.count == tensor.descriptor.dtype.scalarByteCount || header.isPlain,
            header.isPlain || !tensor.isContiguous, tensor.needsBase || !header.transform.needsBase,
            header.packing == nil || index.features.contains(.compact)
        else { throw damage(.badChunk, "its header does not fit the index", tensor: number, chunk: chunk) }
        return header
    }

    /// Decodes a part of a chunk; the decoder that has it from before only joins its planes.
    ///
    /// - Parameter range: bytes of the tensor, inside the chunk.
    func decode(_ range: Range<Int>, of number: Int, chunk: Int, into target: UnsafeMutableRawBufferPointer) throws {
        func hasChunk(_ decoder: SkeinChunkDecoder) -> Bool { decoder.unpacked?.isChunk(chunk, of: number) ?? false }
        do {
            try decoders.with(preferring: hasChunk) { decoder in
                if !hasChunk(decoder) {
                    let (header, payload) = try load(chunk, of: number, with: decoder)
                    try unpack(header, payload, with: decoder)
                }
                try join(range, with: decoder, into: target)
            }
        } catch let error as FormatError where index.tensors[number].members != nil && error.file == path.string {
            // Of those that share the chunk, the one that was asked for.
            throw FormatError(
                error.category, error.message, file: path, tensor: index.tensors[number].names(in: range)[0],
                byteOffset: error.byteOffset.map(Int.init), hint: error.hint)
        }
    }

    /// Decompresses a chunk that was loaded.
    func unpack(
        _ header: SkeinChunkHeader, _ payload: UnsafeRawBufferPointer, with decoder: SkeinChunkDecoder
    ) throws {
        let window =
            header.packing?.kind == .repeats
            ? try windows.bytes(of: header.tensor, before: header.chunk, in: self) : nil
        try unpack(
            header, payload, with: decoder, window: window?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0))
    }

    /// Decompresses a chunk that may repeat what is given of its tensor.
    func unpack(
        _ header: SkeinChunkHeader, _ payload: UnsafeRawBufferPointer, with decoder: SkeinChunkDecoder,
        window: UnsafeRawBufferPointer
    ) throws {
        let start = index.tensors[header.tensor].range(ofChunk: header.chunk).lowerBound
        do { try decoder.unpack(header, payload, at: start, window: window) } catch let error as SkeinChunkHeader.Fault
        {
            throw damage(error.category, error.reason, tensor: header.tensor, chunk: header.chunk)
        }
    }

    /// Joins a part of the chunk that a decoder unpacked.
    ///
    /// - Parameter range: bytes of the tensor, inside the chunk.
    func join(
        _ range: Range<Int>, with decoder: SkeinChunkDecoder, into target: UnsafeMutableRawBufferPointer
    ) throws {
        guard let unpacked = decoder.unpacked else { preconditionFailure("no chunk was unpacked") }
        let header = unpacked.header
        let whole = index.tensors[header.tensor].range(ofChunk: header.chunk)
        let width = header.planes.count
        // Whole elements around the range.
        let start = (range.lowerBound - whole.lowerBound) / width * width
        let end = min(whole.count, (range.upperBound - whole.lowerBound + width - 1) / width * width)
        let isAligned = end - start == range.count
        let output = isAligned ? target.baseAddress! : decoder.output.address
        if header.transform.needsBase {
            try withBase(of: unpacked, elements: start..<end) { base in
                decoder.baseIsChecked()
                decoder.join(start..<end, transform: header.transform, base: base, into: output)
            }
        } else {
            decoder.join(start..<end, transform: header.transform, base: nil, into: output)
        }
        if !isAligned {
            target.copyMemory(
                from: UnsafeRawBufferPointer(
                    start: output + (range.lowerBound - whole.lowerBound - start), count: range.count))
        }
    }

    /// Calls `body` with the bytes of the base for a part of a chunk, once they are known to be the ones that it was
    /// written against.
    ///
    /// - Parameter elements: bytes of the chunk.
    private func withBase(
        of unpacked: SkeinChunkDecoder.UnpackedChunk, elements: Range<Int>, _ body: (UnsafeRawPointer) -> Void
    ) throws {
        let base = try base()
        let header = unpacked.header
        let tensor = index.tensors[header.tensor]
        let whole = tensor.range(ofChunk: header.chunk)
        // The checksum is that of the whole chunk, so the first part that is read reads all.
        let wanted = unpacked.hasCheckedBase ? elements : 0..<whole.count
        let range = whole.lowerBound + wanted.lowerBound..<whole.lowerBound + wanted.upperBound
        try base.withBytes(for: tensor, range: range) { bytes in
            guard let bytes, unpacked.hasCheckedBase || SkeinHash.tree(bytes).low == header.baseChecksum else {
                throw try wrongBase(base, tensor.names(in: range)[0])
            }
            body(bytes.baseAddress! + (elements.lowerBound - wanted.lowerBound))
        }
    }

    private func wrongBase(_ base: SkeinBase, _ tensor: TensorName) throws -> FormatError {
        FormatError(
            .wrongBase,
            "\(base.store.path.string) is not the base of \(path.string): its identity is \(try base.identity()), not "
                + "\(index.base?.identity ?? .none)", file: path, tensor: tensor,
            hint: "name the right base with --base; it was called \"\(baseFileName?.escapingControlCharacters ?? "")\"")
    }
}
