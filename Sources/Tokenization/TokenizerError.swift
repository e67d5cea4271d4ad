import Checkpoints
import SystemPackage
public import TensorCore

/// What is wrong with a tokenizer's file, or with a text that it is to cut.
public struct TokenizerError: Diagnostic, Hashable {
    /// What the codes `tokenizer.*` stand for.
    public enum Kind: String, Sendable, CaseIterable {
        /// The file lacks a value, has one of another kind, or contradicts itself.
        case badFile = "bad_file"
        /// The file names a component, or asks for something, that is not carried out here.
        case unsupported
        /// A pattern is no regular expression of Oniguruma.
        case badPattern = "bad_pattern"
        /// A pattern took too many steps or too much memory on a text.
        case patternLimit = "pattern_limit"
        /// A text has something that the vocabulary lacks, and there is no piece for what is unknown.
        case unknownPiece = "unknown_piece"
        /// A text is not valid UTF-8.
        case badText = "bad_text"
        /// A length that leaves no room for the special tokens.
        case badLength = "bad_length"
    }

    public let kind: Kind
    public let message: String
    public let file: String?
    public let byteOffset: UInt64?
    public let position: TextPosition?
    public let hint: String?

    public var code: String { "tokenizer.\(kind.rawValue)" }
    public var severity: DiagnosticSeverity { .badInput }

    public init(
        _ kind: Kind, _ message: String, file: FilePath? = nil, byteOffset: Int? = nil, position: TextPosition? = nil,
        hint: String? = nil
    ) {
        self.kind = kind
        self.message = message
        self.file = file?.string
        self.byteOffset = byteOffset.flatMap(UInt64.init(exactly:))
        self.position = position
        self.hint = hint
    }
}
