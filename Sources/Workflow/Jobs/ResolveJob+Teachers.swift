import Checkpoints
import Interference
import SystemPackage
import TensorCore
import Work

/// The base's outputs, which the experts of a set are held to in common.
public struct KeptTeachers: Sendable {
    /// Where they are; nil when no expert is left that would ask for them.
    public let path: FilePath?
    /// What computing them took; nil when that was done before.
    public let duration: Duration?
}

extension ResolveJob {
    /// Computes the base's outputs for all who adapt experts, unless they are there.
    ///
    /// - Parameter willWork: called before the work, if there is any; may throw to prevent it.
    /// - Returns: nil where experts have no outputs of the base in common, or nobody would find them.
    /// - Throws: as `run(in:willWork:)`.
    func teach(in context: Context, willWork: () throws -> Void = {}) throws -> KeptTeachers? {
        try check()
        guard let path = teachersPath, let file = try teachersFile() else { return nil }
        if write.force { try file.remove() }
        guard try !file.isComplete else { return KeptTeachers(path: path, duration: nil) }
        try willWork()
        try makeFolder(path.removingLastComponent())
        let started = ContinuousClock.now
        guard let inputs = try auxiliaryInputs(in: context) else { return nil }
        let tasks = try set.tasks()
        // What the experts take, so that they fail before they begin.
        let frozen = try frozen()
        _ = try requiredMemory(footprint(tasks, inputs, frozen, context), inputs, [], in: context)
        let resolver = try resolver(tasks, inputs, frozen, in: context)
        tell(of: options.steps, taking: [resolver.expectedSeconds()], context)
        return KeptTeachers(path: path, duration: ContinuousClock.now - started)
    }

    /// Whether every process that adapts an expert would have to compute the base's outputs for itself.
    ///
    /// - Throws: `IOError` when an input cannot be read.
    func lacksTeachers() throws -> Bool { try teachersFile().map { try !$0.isComplete } ?? false }

    /// Removes the base's outputs, where some were kept.
    ///
    /// - Throws: `IOError` when they cannot be removed.
    func removeTeachers() throws { try teachersFile()?.remove() }

    /// Where the base's outputs are kept; nil where they are not.
    ///
    /// - Throws: `IOError` when an input cannot be read.
    func teachersFile() throws -> TeachersFile? {
        guard let teachersPath, options.sharesBaseOutputs(amongExperts: set.experts.count) else { return nil }
        return TeachersFile(at: teachersPath, fingerprint: try teachersFingerprint(), sync: write.sync)
    }

    /// What determines the base's outputs: not the experts, and few of the options.
    ///
    /// - Throws: `IOError` when an input cannot be read.
    func teachersFingerprint() throws -> Fingerprint {
        try Fingerprint(
            "\(Self.kind), teachers 1",
            settings: TeacherSettings(
                options: options, cutting: options.cutting(for: set.backbone.network), shared: sharedSettings),
            inputs: [baseInput] + sharedInputs)
    }

    private struct TeacherSettings: Encodable {
        let options: ResolverOptions
        let cutting: String
        let shared: SharedSettings

        enum CodingKeys: String, CodingKey {
            case cutting = "shards"
        }

        func encode(to encoder: any Encoder) throws {
            try options.encode(ResolverOption.ofBaseOutputs, to: encoder)
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(cutting, forKey: .cutting)
            try shared.encode(to: encoder)
        }
    }
}
