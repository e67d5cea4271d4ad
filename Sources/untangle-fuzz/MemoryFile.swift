import Glibc
import SystemPackage

/// A file without a disk, whose contents are replaced for each input.
struct MemoryFile: Sendable {
    private let descriptor: CInt

    /// Makes an empty one.
    init() {
        var template = Array("/dev/shm/untangle-fuzz-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        precondition(descriptor >= 0)
        unlink(template)
    }

    /// Where it can be opened by this process.
    var path: FilePath { FilePath("/proc/\(getpid())/fd/\(descriptor)") }

    /// Makes the bytes all that the file holds.
    func replace(with bytes: [UInt8]) -> FilePath {
        precondition(ftruncate(descriptor, 0) == 0)
        precondition(pwrite(descriptor, bytes, bytes.count, 0) == bytes.count)
        return path
    }

    /// Makes the file appear under names in a new folder, beside links to others.
    ///
    /// - Returns: the folder. It is left behind, a few links in /dev/shm: libFuzzer ends the process without a word.
    func folder(showing names: [String], beside others: [String: String]) -> FilePath {
        var template = Array("/dev/shm/untangle-fuzz-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil)
        let folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        for name in names {
            let place = FilePath(folder).appending(name)
            mkdir(place.removingLastComponent().string, 0o700)
            precondition(symlink(path.string, place.string) == 0)
        }
        for (name, place) in others {
            let target = realpath(place, nil)
            precondition(target != nil, "\(place) is not there: run this from the root of the repository")
            precondition(symlink(target!, "\(folder)/\(name)") == 0)
            free(target)
        }
        return FilePath(folder)
    }
}
