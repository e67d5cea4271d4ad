import Synchronization
import TensorCore

/// The starts of tensors whose later chunks repeat them, decoded once.
final class SkeinWindows: Sendable {
    private let windows = Mutex<[Window]>([])

    /// So many tensors have one at a time, the last that were read.
    private static let count = 2

    private struct Window {
        let entry: Int
        let buffer: AlignedBuffer
        var byteCount = 0
    }

    /// What a chunk may repeat.
    struct Bytes {
        fileprivate let buffer: AlignedBuffer
        let bytes: UnsafeRawBufferPointer
    }

    /// The start of a tensor, as far as a chunk of it may repeat it.
    ///
    /// - Throws: what decoding the chunks before it throws.
    func bytes(of entry: Int, before chunk: Int, in reader: SkeinReader) throws -> Bytes {
        let tensor = reader.index.tensors[entry]
        let wanted = min(chunk * tensor.chunkByteCount, SkeinPacking.windowByteCount)
        // The lock is held while decoding, so that others wait for the bytes instead of decoding them too. What was decoded is
        // not written again.
        let buffer = try windows.withLock { windows in
            var window: Window
            if let known = windows.firstIndex(where: { $0.entry == entry }) {
                window = windows.remove(at: known)
            } else {
                let byteCount = min(tensor.descriptor.byteCount, SkeinPacking.windowByteCount)
                window = Window(entry: entry, buffer: try AlignedBuffer(byteCount: byteCount, isZeroed: false))
            }
            defer { windows = windows.suffix(Self.count - 1) + [window] }
            while window.byteCount < wanted {
                window.byteCount = try reader.extendWindow(
                    window.buffer, from: window.byteCount, of: entry)
            }
            return window.buffer
        }
        return Bytes(buffer: buffer, bytes: UnsafeRawBufferPointer(rebasing: buffer.bytes[..<wanted]))
    }
}

extension SkeinReader {
    /// Decodes the next chunk of a window behind the chunks that it may repeat.
    ///
    /// - Returns: where the chunk ends.
    fileprivate func extendWindow(_ buffer: AlignedBuffer, from start: Int, of entry: Int) throws -> Int {
        let chunk = start / index.tensors[entry].chunkByteCount
        let range = index.tensors[entry].range(ofChunk: chunk)
        try decoders.with { decoder in
            let (header, payload) = try load(chunk, of: entry, with: decoder)
            try unpack(
                header, payload, with: decoder, window: UnsafeRawBufferPointer(rebasing: buffer.bytes[..<start]))
            try join(range, with: decoder, into: UnsafeMutableRawBufferPointer(rebasing: buffer.mutableBytes[range]))
        }
        return range.upperBound
    }
}
