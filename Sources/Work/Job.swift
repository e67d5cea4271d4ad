import Checkpoints
import SystemPackage

/// One piece of work, described by a value and carried out in a context.
public protocol Job {
    associatedtype Outcome

    /// Does the work.
    ///
    /// - Throws: the diagnostics of the work; then nothing of its outputs appears.
    func run(in context: Context) throws -> Outcome
}

/// A job whose results are recognised later by what they were made from, on this machine or another one.
public protocol RecordedJob: Job {
    associatedtype Settings: Encodable

    /// What is done, and the version of how: another one where the same settings and inputs would give other results.
    static var kind: String { get }
    /// What was asked for, paths left out. Names and values are kept beside outputs and told where they differ.
    var settings: Settings { get }
    /// The files that the results depend on.
    var inputs: [JobInput] { get }

    /// The digest of everything that determines the results.
    ///
    /// - Throws: `IOError` when an input cannot be read.
    func fingerprint() throws -> Fingerprint
}

/// Files that play one part in a piece of work.
public struct JobInput: Sendable {
    /// What they are to the work, such as `base` or `expert digits`.
    public let role: String
    public let files: [FilePath]
    /// What tells them where there are too many to read for that; nil where their contents do.
    public let listing: String?

    public init(_ role: String, _ files: [FilePath]) {
        (self.role, self.files, listing) = (role, files, nil)
    }

    /// The same files in another role.
    public init(_ role: String, _ input: JobInput) {
        (self.role, files, listing) = (role, input.files, input.listing)
    }

    /// Files that are told by their listing.
    public init(_ role: String, listing: String) {
        (self.role, files, self.listing) = (role, [], listing)
    }
}

extension RecordedJob {
    /// The digest of everything that determines the results.
    ///
    /// - Throws: `IOError` when an input cannot be read.
    public func fingerprint() throws -> Fingerprint {
        try Fingerprint(Self.kind, settings: settings, inputs: inputs)
    }
}
