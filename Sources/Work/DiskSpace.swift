import Checkpoints
import Glibc
import Reporting
import SystemPackage
import TensorCore

/// The room that an output needs on its disk, and the room there is.
public struct DiskSpace: Sendable, Hashable {
    public let neededByteCount: Int
    /// What an ordinary user may still write; nil when the file system does not say.
    public let freeByteCount: Int?
    private let path: FilePath

    /// Looks at the disk of an output, whose folder may not exist yet.
    public init(needed byteCount: Int, at path: FilePath) {
        neededByteCount = byteCount
        self.path = path
        var folder = path
        var status = statvfs()
        while statvfs(folder.isEmpty ? "." : folder.string, &status) != 0 {
            guard !folder.isEmpty, folder.removeLastComponent() else {
                freeByteCount = nil
                return
            }
        }
        // Network file systems without an answer say that they have no blocks at all.
        let free = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        freeByteCount = status.f_blocks == 0 ? nil : free.overflow ? Int.max : Int(clamping: free.partialValue)
    }

    public var isEnough: Bool { freeByteCount.map { neededByteCount <= $0 } ?? true }

    /// Makes sure that the disk has room.
    ///
    /// - Throws: `shortage`, if there is one.
    public func require() throws(IOError) {
        if let shortage { throw shortage }
    }

    /// `io.space` with both numbers, when there is not enough room.
    public var shortage: IOError? {
        guard let free = freeByteCount, !isEnough else { return nil }
        return IOError(
            kind: .space,
            message: "\(path.string) needs \(ByteSize(neededByteCount)) and its disk has \(ByteSize(free)) free",
            file: path.string,
            hint:
                "free some space or choose another disk; a replaced file keeps its space until the new one is complete")
    }
}
