import Checkpoints
import SystemPackage

/// One piece of work that can be described, recognised when it is done, and carried out here or on another machine.
public protocol Job {
    associatedtype Settings: Encodable
    associatedtype Outcome

    /// What is done, and the version of how: another one where the same settings and inputs would give other results.
    static var kind: String { get }
    /// What was asked for, paths left out. Names and values are kept beside outputs and told where they differ.
    var settings: Settings { get }
    /// The files that the results depend on.
    var inputs: [JobInput] { get }
    /// Where results go; empty for work that only tells.
    var targets: [OutputTarget] { get }

    /// Does the work.
    ///
    /// - Throws: the diagnostics of the work; then nothing of its outputs appears.
    func run(in context: Context) throws -> Outcome
}

/// Files that play one part in a piece of work.
public struct JobInput: Sendable {
    /// What they are to the work, such as `base` or `expert digits`.
    public let role: String
    public let files: [FilePath]

    public init(_ role: String, _ files: [FilePath]) {
        self.role = role
        self.files = files
    }
}

extension Job {
    /// The digest of everything that determines the results.
    ///
    /// - Throws: `IOError` when an input cannot be read.
    public func fingerprint() throws -> Fingerprint {
        try Fingerprint(Self.kind, settings: settings, inputs: inputs)
    }
}
