import Glibc
import SystemPackage
import TensorCore

/// What killed runs left behind, and how a later run of the same output tells it from the work of one that lives.
///
/// Temporary files are named `.NAME.tmp-PID-ATTEMPT`, folders as well. Their owner holds a lock (`flock`) on the file, or on
/// the file `.lock` in the folder, that the kernel gives up when the process ends in whatever way. Process numbers would not
/// do: containers share folders and not the numbers. A folder that is about to get its name must not have `.lock` any more; its
/// owner then holds a lock on another of its files.
enum StaleOutputs {
    /// The name of a temporary sibling.
    static func name(for name: String, attempt: Int) -> String { ".\(name).tmp-\(getpid())-\(attempt)" }

    /// Removes the temporary files and folders in a folder that nobody owns any more.
    ///
    /// Nothing fails: what cannot be removed stays.
    ///
    /// - Parameter belongs: whether a name is one of the outputs that the caller is about to write.
    static func remove(in folder: FilePath, of belongs: (String) -> Bool) {
        for entry in (try? entries(of: folder, hidden: true)) ?? [] {
            guard let name = outputName(ofTemporary: entry), belongs(name) else { continue }
            let path = folder.appending(entry)
            guard !UnfinishedOutputs.contains(path) else { continue }
            let isFolder = FileStatus(of: path, followsLinks: false)?.isFolder ?? false
            if isFolder { removeFolder(path) } else { removeFile(path) }
        }
    }

    /// Takes the lock that marks a temporary file as owned.
    ///
    /// - Returns: false when another process has just taken the file for stale; it is about to be removed then.
    static func claim(_ descriptor: FileDescriptor) -> Bool {
        // File systems without locks have nobody who could take the file for stale.
        if flock(descriptor.rawValue, LOCK_EX | LOCK_NB) != 0 { return errno != EWOULDBLOCK }
        var status = stat()
        return fstat(descriptor.rawValue, &status) != 0 || status.st_nlink > 0
    }

    /// Removes a file, or a folder with the files in it; never what a symbolic link points to.
    static func delete(_ path: String) {
        guard unlink(path) != 0, errno == EISDIR || errno == EPERM else { return }
        for entry in (try? entries(of: FilePath(path), hidden: true)) ?? [] { unlink("\(path)/\(entry)") }
        rmdir(path)
    }

    /// The name of the file in a temporary folder that its owner holds a lock on.
    static let lockName = ".lock"

    private static func removeFile(_ path: FilePath) {
        whileUnowned(path) { unlink(path.string) }
    }

    private static func removeFolder(_ path: FilePath) {
        guard let names = try? entries(of: path, hidden: true) else { return }
        if names.contains(lockName) {
            whileUnowned(path.appending(lockName)) { delete(path.string) }
        } else if names.allSatisfy({ whileUnowned(path.appending($0)) {} }) {
            // No other names than those that were seen: an owner may be about to make `.lock` in an empty folder.
            for name in names { unlink(path.appending(name).string) }
            rmdir(path.string)
        }
    }

    /// Does work on a file while nobody else can own it.
    ///
    /// - Returns: whether the file could be locked, and the work was done.
    @discardableResult
    private static func whileUnowned(_ path: FilePath, _ work: () -> Void) -> Bool {
        guard
            let descriptor = try? FileDescriptor.open(
                path, .readWrite, options: [.closeOnExec, .noFollow, .nonBlocking])
        else { return false }
        defer { try? descriptor.close() }
        guard flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 else { return false }
        work()
        return true
    }

    /// `NAME` of `.NAME.tmp-PID-ATTEMPT`; nil for other names.
    private static func outputName(ofTemporary entry: String) -> String? {
        guard entry.hasPrefix("."), let mark = entry.range(ofLast: ".tmp-") else { return nil }
        let numbers = entry[mark.upperBound...].split(separator: "-", omittingEmptySubsequences: false)
        guard numbers.count == 2, numbers.allSatisfy({ Int($0) != nil }) else { return nil }
        return String(entry[entry.index(after: entry.startIndex)..<mark.lowerBound])
    }
}

extension String {
    /// Where a text occurs for the last time.
    fileprivate func range(ofLast text: String) -> Range<String.Index>? { ranges(of: text).last }
}
