import Glibc
public import SystemPackage
public import TensorCore

/// The checkpoints in a folder and in those below it, by their names.
///
/// Symbolic links are followed, so the cache of the Hugging Face hub works; what is reached by several ways is there once. Hidden
/// files and folders are left out.
public struct CheckpointTree {
    /// Files, and indices that stand for their parts: those of a folder by name, then those below it.
    public private(set) var checkpoints: [FilePath] = []
    /// How many other files there are.
    public private(set) var otherFileCount = 0
    /// The folders that cannot be read.
    public private(set) var failures: [IOError] = []

    private var folders: Set<FileStatus.Identity> = []
    private var files: Set<FileStatus.Identity> = []

    /// Finds the checkpoints below a folder.
    ///
    /// - Throws: `IOError` when there is nothing at the path, or it is no folder.
    public init(_ root: FilePath) throws(IOError) {
        _ = try entries(of: root)
        add(root)
    }

    private mutating func add(_ folder: FilePath) {
        guard let status = FileStatus(of: folder), folders.insert(status.identity).inserted else { return }
        let names: [String]
        do throws(IOError) { names = try entries(of: folder) } catch { return failures.append(error) }
        let found = names.map { (name: $0, status: FileStatus(of: folder.appending($0))) }
        let parts = Self.parts(in: folder, names)
        let claimed = Set(parts.values.joined())
        for (name, status) in found where status?.isFolder != true {
            if claimed.contains(name) { continue }
            // A link to contents that are not there, as half a download leaves them: opening it says so.
            if status == nil, Self.isCheckpointFile(name) {
                checkpoints.append(folder.appending(name))
                continue
            }
            guard let status, status.kind == S_IFREG, parts[name] != nil || Self.isCheckpointFile(name) else {
                otherFileCount += 1
                continue
            }
            let all =
                [status.identity] + (parts[name] ?? []).compactMap { FileStatus(of: folder.appending($0))?.identity }
            if all.allSatisfy(files.contains) { continue }
            files.formUnion(all)
            checkpoints.append(folder.appending(name))
        }
        for (name, status) in found where status?.isFolder == true { add(folder.appending(name)) }
    }

    /// The indices in a folder with their parts, but for one that cannot be read and does not say by its name that it is an index; and
    /// the first parts of checkpoints that are split without one, with the others.
    private static func parts(in folder: FilePath, _ names: [String]) -> [String: Set<String>] {
        var parts: [String: Set<String>] = [:]
        for name in names {
            if let first = ShardName(name), first.number == 1,
                CheckpointFormat.named(FilePath(name))?.findsParts == true
            {
                parts[name] = Set(names.filter { first.isBeside($0) })
            }
            guard let index = ShardIndexName(name) else { continue }
            let places = try? ShardIndex(reading: folder.appending(name)).places
            if places == nil, index.format == nil { continue }
            parts[name] = Set((places ?? []).map(\.shard))
        }
        return parts
    }

    private static func isCheckpointFile(_ name: String) -> Bool {
        CheckpointFormat.named(FilePath(name)) != nil && !WeightSet.isTrainingState(name)
    }
}
