import SystemPackage
import TensorCore

/// An edit that cannot be carried out as asked.
public struct EditError: Diagnostic, Hashable {
    public let reason: Reason
    public let message: String
    public let file: String?
    public let hint: String?

    public var code: String { "edit.\(reason.rawValue)" }
    public var severity: DiagnosticSeverity { reason == .nothing ? .usage : .badInput }

    /// The kinds of fault; the raw value follows `edit.` in an error code.
    public enum Reason: String, Sendable, CaseIterable {
        /// Nothing was asked for.
        case nothing
        /// The file is of a format that is not edited, or is no single file.
        case format
        case noSuchKey = "no_such_key"
        case noSuchTensor = "no_such_tensor"
        case duplicateName = "duplicate_name"
        /// A text is no value of the kind that the key has.
        case badValue = "bad_value"
        /// The other files of a checkpoint would not know the tensors of the part any more.
        case shard
    }

    package init(_ reason: Reason, _ message: String, file: FilePath? = nil, hint: String? = nil) {
        self.reason = reason
        self.message = message
        self.file = file?.string
        self.hint = hint
    }

    static func missing(_ reason: Reason, _ message: String, _ file: FileDescription) -> EditError {
        EditError(reason, message, file: file.path, hint: "see what there is with `untangle inspect`")
    }
}
