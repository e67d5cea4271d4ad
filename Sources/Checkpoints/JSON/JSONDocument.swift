import SystemPackage
import TensorCore

/// A JSON text that was checked and indexed once; values are read out of it on demand.
///
/// The values lie in one flat table in the order of the text, each with the table position after its subtree. Neither
/// parsing nor releasing recurses, and a header of 100 000 tensors is one allocation instead of a million.
public final class JSONDocument: Sendable {
    let text: [UInt8]
    let nodes: [JSONNode]
    /// Where the text begins in its file.
    let base: Int

    /// The deepest nesting that is accepted, as in the reference implementation of safetensors.
    public static let depthLimit = 128
    /// The most values a text may hold: four times what a header of 100 MB needs for its smallest possible tensors.
    static let valueLimit = 1 << 25

    init(text: [UInt8], nodes: [JSONNode], base: Int) {
        self.text = text
        self.nodes = nodes
        self.base = base
    }

    /// Parses a whole text as strict JSON (RFC 8259): valid UTF-8, no duplicate keys in any object, no lone surrogates,
    /// nothing but white space around one value.
    ///
    /// - Parameters:
    ///   - file: named in errors.
    ///   - base: where the text begins in the file; added to every reported byte offset.
    /// - Throws: `FormatError` `invalid_utf8`, `invalid_json`, `nesting_too_deep`, `duplicate_key` or `header_too_large`,
    ///   with the byte offset. Keys are compared by bytes after unescaping.
    public static func parse(
        _ bytes: UnsafeRawBufferPointer, file: FilePath? = nil, base: Int = 0
    ) throws(FormatError) -> JSONValue {
        try parse(Array(bytes), file: file, base: base)
    }

    /// Parses a whole text; see `parse(_:file:base:)` on a buffer.
    ///
    /// - Throws: as the other.
    public static func parse(
        _ text: [UInt8], file: FilePath? = nil, base: Int = 0
    ) throws(FormatError) -> JSONValue {
        guard text.count < Int(UInt32.max) else {
            throw FormatError(.headerTooLarge, "a JSON text of \(text.count) bytes is too large", file: file)
        }
        do { _ = try UTF8Span(validating: text.span) } catch {
            throw FormatError(
                .invalidUTF8, "the JSON text is not valid UTF-8", file: file,
                byteOffset: base + error.byteOffsets.lowerBound)
        }
        var parser = JSONParser(text: text, file: file, base: base)
        try parser.run()
        return JSONValue(document: JSONDocument(text: text, nodes: parser.nodes, base: base), index: 0)
    }

    /// The document that a file is; nil when there is no file, or none that can be read.
    package static func read(_ path: FilePath) -> JSONValue? {
        guard let file = try? MappedFile(path) else { return nil }
        return try? file.withUnsafeBytes { (bytes) throws(FormatError) in try parse(bytes) }
    }
}

/// One value of a document.
struct JSONNode {
    /// The range of the text: without the quotes for a string, with the brackets for a container.
    var start: UInt32
    var end: UInt32
    /// The position after this value and everything inside it.
    var next: UInt32
    var kind: JSONKind
    var hasEscapes = false
}

/// What a JSON value is.
public enum JSONKind: UInt8, Sendable {
    case null, `false`, `true`, number, string, array, object

    /// The kind with its article, to stand in a message.
    public var phrase: String {
        switch self {
        case .null: "null"
        case .false, .true: "a boolean"
        case .number: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}
