/// An error that a person can act on: what is wrong, where, and what to do.
///
/// Printed by the command line in at most three lines and as JSON; `code` is stable and listed in `docs/errors.md`.
public protocol Diagnostic: Error, Sendable {
    /// Stable identifier, such as `format.truncated`.
    var code: String { get }
    /// One sentence with the numbers on both sides.
    var message: String { get }
    var file: String? { get }
    var tensor: String? { get }
    var byteOffset: UInt64? { get }
    /// Where in the file, if that is a text.
    var position: TextPosition? { get }
    var hint: String? { get }
    /// All cases, where the message has the first few of many.
    var details: DiagnosticTable? { get }
    /// What the process should end with.
    var severity: DiagnosticSeverity { get }
}

extension Diagnostic {
    public var file: String? { nil }
    public var tensor: String? { nil }
    public var byteOffset: UInt64? { nil }
    public var position: TextPosition? { nil }
    public var hint: String? { nil }
    public var details: DiagnosticTable? { nil }
}

/// The exit status that an error stands for.
public enum DiagnosticSeverity: Int32, Sendable {
    /// The command line makes no sense.
    case usage = 2
    /// A file, recipe or combination of inputs is at fault.
    case badInput = 3
    /// The operating system refused: disk full, permission, memory.
    case resources = 4
}

/// A call to the operating system failed.
public struct IOError: Diagnostic, Hashable {
    public let kind: Kind
    public let message: String
    public let file: String?
    public let hint: String?
    public var code: String { kind.code }
    public var severity: DiagnosticSeverity { kind == .notFound || kind == .changed ? .badInput : .resources }

    /// What the codes `io.*` stand for.
    public enum Kind: String, Sendable, CaseIterable {
        case notFound = "not_found"
        case permission
        /// Something stands where an output is to go.
        case exists
        case isDirectory = "is_directory"
        /// Neither a file nor a folder, such as a device.
        case notAFile = "not_a_file"
        /// A disk has less room than an output will take.
        case space
        case diskFull = "disk_full"
        case memory
        /// A file was cut or written to while it was read.
        case changed
        /// Any other failure.
        case failed

        package var code: String { "io.\(rawValue)" }
    }

    public init(kind: Kind, message: String, file: String?, hint: String? = nil) {
        self.kind = kind
        self.message = message
        self.file = file
        self.hint = hint
    }
}
