import Glibc

/// How much memory the process could still take.
enum AvailableMemory {
    /// What the kernel says is available, or the rest of the control group's limit when that is less.
    static var byteCount: Int {
        var available = Int.max
        if let line = lines(of: "/proc/meminfo").first(where: { $0.hasPrefix("MemAvailable:") }),
            let kibibytes = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        {
            available = kibibytes.multipliedReportingOverflow(by: 1024).partialValue
        }
        if let limit = lines(of: "/sys/fs/cgroup/memory.max").first.flatMap({ Int($0) }),
            let used = lines(of: "/sys/fs/cgroup/memory.current").first.flatMap({ Int($0) })
        {
            available = min(available, max(0, limit - used))
        }
        // Neither source speaks: a size that any machine has.
        return available == .max ? 2 << 30 : available
    }

    private static func lines(of path: String) -> [Substring] {
        guard let file = fopen(path, "re") else { return [] }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = fread(&buffer, 1, buffer.count, file)
        return String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: "\n")
    }
}
