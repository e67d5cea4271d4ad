import SystemPackage
import TensorCore

/// A file as an edit finds it: its path, for errors, and its bytes.
struct FileDescription {
    let path: FilePath
    let file: MappedFile
}

/// A file as an edit leaves it: a new head, and parts of the old file behind it.
struct EditedFile {
    /// A run of bytes on its way from the old file to the new one.
    struct Part {
        let source: Range<Int>
        let target: Int
    }

    let head: [UInt8]
    let parts: [Part]
    /// With padding behind the last part.
    let byteCount: Int
    let renamedCount: Int
    let droppedCount: Int

    /// Whether everything but the head stays where it is.
    ///
    /// - Parameter file: the old file.
    func isInPlace(in file: MappedFile) -> Bool {
        byteCount == file.byteCount && parts.allSatisfy { $0.source.lowerBound == $0.target && $0.target >= head.count }
    }

    /// Writes the file anew: it appears at the path complete or not at all.
    ///
    /// - Throws: `IOError`.
    func write(from file: MappedFile, to path: FilePath, options: WriteOptions) throws(IOError) {
        let output = try AtomicOutput(creating: path, byteCount: byteCount, options: options)
        try output.write(head, at: 0)
        let step = 32 << 20
        for part in parts {
            for start in stride(from: 0, to: part.source.count, by: step) {
                let range =
                    part.source.lowerBound + start..<part.source.lowerBound + min(start + step, part.source.count)
                try file.withUnsafeBytes { (bytes) throws(IOError) in
                    try output.write(UnsafeRawBufferPointer(rebasing: bytes[range]), at: part.target + start)
                }
                file.doneWith(range)
            }
        }
        // The padding behind the last part, where there is no room reserved.
        let end = parts.map { $0.target + $0.source.count }.max() ?? head.count
        if end < byteCount { try output.write([UInt8](repeating: 0, count: byteCount - end), at: end) }
        try output.commit()
    }
}
