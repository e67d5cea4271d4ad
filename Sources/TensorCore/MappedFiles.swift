import Glibc
import Synchronization
import SystemPackage

/// What is mapped at the moment, and what other processes have done to it meanwhile.
///
/// A mapping shows the file as it is, not as it was: what another process writes into it is seen, and what it cuts off raises SIGBUS
/// when it is touched. A file that gives its name to another one is no matter: the mapping keeps the old one.
package enum MappedFiles {
    /// A mapped file as it was at first.
    struct Region: Sendable {
        let path: FilePath
        let byteCount: Int
        let version: Version

        /// Whether the file has been written to or cut since.
        var isChanged: Bool {
            version.isOver(at: path)
        }
    }

    /// What tells the contents of a file from those that it has at another time.
    package struct Version: Sendable, Equatable {
        let device: dev_t
        let number: ino_t
        let byteCount: Int
        let seconds: Int
        let nanoseconds: Int

        init(_ status: stat) {
            device = status.st_dev
            number = status.st_ino
            byteCount = Int(status.st_size)
            seconds = status.st_mtim.tv_sec
            nanoseconds = status.st_mtim.tv_nsec
        }

        init?(of path: FilePath) {
            var status = stat()
            guard stat(path.string, &status) == 0 else { return nil }
            self.init(status)
        }

        /// Whether the same file is at the path, and has been written to or cut since.
        func isOver(at path: FilePath) -> Bool {
            guard let now = Version(of: path), now.device == device, now.number == number else { return false }
            return now != self
        }

        /// Makes sure that a file that was mapped before has not changed since.
        ///
        /// - Throws: `io.changed`.
        package func requireCurrent(at path: FilePath) throws(IOError) {
            if isOver(at: path) { throw .changed(path) }
        }
    }

    private struct State {
        /// By the address of the first byte.
        var regions: [UInt: Region] = [:]
        var isWatching = false
        /// The first file that was found changed when its mapping ended.
        var changed: FilePath?
    }

    private static let state = Mutex(State())

    static func insert(_ region: Region, at address: UInt) { state.withLock { $0.regions[address] = region } }

    static func remove(at address: UInt) {
        let (ended, isWatching) = state.withLock { ($0.regions.removeValue(forKey: address), $0.isWatching) }
        guard isWatching, let ended, ended.isChanged else { return }
        state.withLock { if $0.changed == nil { $0.changed = ended.path } }
    }

    /// Has outputs appear only while no file that was mapped has changed. For a process that does one piece of work and ends: one that
    /// does several would have each answer for the inputs of all.
    package static func watch() { state.withLock { $0.isWatching = true } }

    /// Makes sure that nobody has written to a file, or cut it, while it was mapped; of no effect without `watch`.
    ///
    /// - Throws: `io.changed`.
    package static func requireUnchanged() throws(IOError) {
        let (changed, regions) = state.withLock { ($0.changed, $0.isWatching ? Array($0.regions.values) : []) }
        if let path = changed ?? regions.first(where: \.isChanged)?.path { throw .changed(path) }
    }

    /// The file that is mapped at an address; nil when it is none of them.
    package static func path(at address: UInt) -> FilePath? {
        state.withLock { state in
            state.regions.first { start, region in address >= start && address - start < region.byteCount }?.value.path
        }
    }
}

extension IOError {
    /// That a file did not stay as it was while it was read.
    package static func changed(_ path: FilePath) -> IOError {
        IOError(
            kind: .changed, message: "\(path.string) was cut short or written to while it was read", file: path.string,
            hint: "run the command again when nobody writes to the file any more")
    }
}
