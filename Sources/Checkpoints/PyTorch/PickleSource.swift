import SystemPackage
import TensorCore

/// The bytes of a pickle and where they are from, as errors about them say it.
struct PickleSource {
    let bytes: UnsafeRawBufferPointer
    let file: FilePath
    /// Where the bytes begin in the file; nil when they were decompressed.
    let start: Int?
    /// Whether the pickle belongs to a TorchScript archive.
    let isScript: Bool

    func fault(_ category: FormatCategory, _ message: String, at position: Int, hint: String? = nil) -> FormatError {
        FormatError(
            category, message + (start == nil ? " (byte \(position) of the unpacked data.pkl)" : ""), file: file,
            byteOffset: start.map { $0 + position }, hint: hint)
    }

    /// The start of a text that may be long, fit to be shown.
    func label(_ range: Range<Int>) -> String {
        text(range.prefix(200)).escapingControlCharacters + (range.count > 200 ? "..." : "")
    }

    /// The text of a range that is valid UTF-8.
    func text(_ range: Range<Int>) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    }
}
