import ArgumentParser
import Checkpoints
import SystemPackage

/// `NAME=FILE` on the command line: something that belongs to a task.
struct NamedFile: ExpressibleByArgument {
    let name: String
    var file: FilePath

    init?(argument: String) {
        guard let equals = argument.utf8.firstIndex(of: UInt8(ascii: "=")) else { return nil }
        name = String(argument[..<equals])
        file = FilePath(String(argument[argument.utf8.index(after: equals)...]))
        guard !name.isEmpty, !file.isEmpty else { return nil }
    }

    static var defaultCompletionKind: CompletionKind { .file() }
}

extension [NamedFile] {
    /// The file of a name.
    func file(named name: String) -> FilePath? { first { $0.name == name }?.file }

    /// The checkpoints where they are, of those that are named as in the hub's cache.
    ///
    /// - Throws: as `Session.locate`.
    func located(in session: Session, subfolder: FilePath? = nil) throws -> [NamedFile] {
        try map { entry in
            var entry = entry
            entry.file = try session.locate(CheckpointSource(entry.file.string), subfolder: subfolder)
            return entry
        }
    }

    /// Checks that every name is given once and is known.
    ///
    /// - Throws: a usage error when a name appears twice, or names nothing that is known.
    func check(_ option: String, among names: [String]? = nil) throws(UsageError) {
        var seen: Set<String> = []
        for entry in self {
            guard seen.insert(entry.name).inserted else {
                throw UsageError("\(option) \(entry.name)= is given twice")
            }
            if let names, !names.contains(entry.name) {
                throw UsageError(
                    "\(option) \(entry.name)= belongs to no expert",
                    hint: "the experts are \(names.joined(separator: ", "))")
            }
        }
    }
}
