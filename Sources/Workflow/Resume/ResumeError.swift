import SystemPackage
import TensorCore
import Work

/// Why work cannot be gone on with.
public struct ResumeError: Diagnostic, Hashable {
    /// What the codes `resume.*` stand for.
    public enum Kind: String, Sendable, CaseIterable {
        /// Settings or inputs are not those of the interrupted run.
        case changed
        /// A file is not the state of an interrupted run, or no longer.
        case damaged
    }

    public let kind: Kind
    public let message: String
    public let file: String?
    public let hint: String?

    public var code: String { "resume.\(kind.rawValue)" }
    public var severity: DiagnosticSeverity { .badInput }

    init(_ kind: Kind, _ message: String, file: FilePath, hint: String = "without --resume work begins anew") {
        self.kind = kind
        self.message = message
        self.file = file.string
        self.hint = hint
    }

    /// How many differences a message names.
    private static let shownCount = 6

    /// Makes sure that an output which stands at a path, if its record says what it was made from, was made from the same.
    ///
    /// - Throws: `resume.changed` that names what differs.
    static func requireSame(_ fingerprint: Fingerprint, at path: FilePath, work: String) throws(ResumeError) {
        let differences = WorkRecord(ofOutputAt: path).map { fingerprint.differences(since: $0.fingerprint) } ?? []
        guard differences.isEmpty else {
            throw changed(
                differences, work: work, file: path,
                hint: "give the settings and inputs that it was made with, or use --force to replace it")
        }
    }

    /// Names what has changed since a run.
    static func changed(
        _ differences: [Fingerprint.Difference], work: String, file: FilePath,
        hint: String = "give the settings and inputs of the interrupted run; without --resume work begins anew"
    ) -> ResumeError {
        var texts = differences.prefix(shownCount).map { $0.description.escapingControlCharacters }
        if differences.count > shownCount { texts.append("and \(differences.count - shownCount) more") }
        return ResumeError(
            .changed, "\"\(work)\" cannot be gone on with: \(texts.joined(separator: "; "))", file: file, hint: hint)
    }
}
