public import SystemPackage
import TensorCore

/// The lines of a text file, each a text of its own.
public struct TextLines: Sendable {
    private let bytes: [UInt8]
    private let ranges: [Range<Int>]

    /// Reads a file.
    ///
    /// - Throws: `IOError`; `TokenizerError` `tokenizer.bad_text` with line and byte offset where the file is not valid UTF-8.
    public init(reading path: FilePath) throws {
        try self.init(try MappedFile(path).withUnsafeBytes { Array($0) }, file: path)
    }

    /// Cuts a text into lines, which end in a line feed with or without a carriage return; the last one may lack it.
    ///
    /// - Parameter file: named in errors.
    /// - Throws: `TokenizerError` `tokenizer.bad_text`.
    public init(_ bytes: [UInt8], file: FilePath) throws(TokenizerError) {
        do { _ = try UTF8Span(validating: bytes.span) } catch {
            let offset = error.byteOffsets.lowerBound
            let before = bytes[..<offset]
            let start = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
            throw TokenizerError(
                .badText, "the text is not valid UTF-8", file: file, byteOffset: offset,
                position: TextPosition(
                    line: before.count { $0 == UInt8(ascii: "\n") } + 1,
                    column: bytes[start..<offset].count { $0 & 0xC0 != 0x80 } + 1),
                hint: "save it as UTF-8, for instance with iconv")
        }
        self.bytes = bytes
        ranges = bytes.withUnsafeBytes { Array(LineRanges(of: $0)) }
    }

    /// The texts, in their order.
    public var all: [String] { ranges.map { String(decoding: bytes[$0], as: UTF8.self) } }
}
