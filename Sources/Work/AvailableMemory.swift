import Glibc
import SystemPackage
import TensorCore

/// How much memory the process could still take: of what the machine has, of what its control group may use, or of what Slurm has
/// given the job.
public struct AvailableMemory {
    /// What stands before `/proc` and `/sys`.
    private let root: FilePath
    private let environment: (String) -> String?

    /// Looks at this machine, or at files and variables that look like one.
    public init(
        root: FilePath = "/", environment: @escaping (String) -> String? = { getenv($0).map { String(cString: $0) } }
    ) {
        self.root = root
        self.environment = environment
    }

    /// What the kernel says is available, or what a limit leaves of it.
    public var byteCount: Int {
        let limit = controlGroupByteCounts.min() ?? slurmByteCount
        // Where nothing speaks: a size that any machine has.
        return [machineByteCount, limit].compactMap { $0 }.min() ?? 2 << 30
    }

    private var machineByteCount: Int? {
        value(of: "MemAvailable:", in: "proc/meminfo").map { $0.multipliedReportingOverflow(by: 1024).partialValue }
    }

    // MARK: - Control groups

    /// What the group of the process and those above it may still take, as far as they have a limit.
    private var controlGroupByteCounts: [Int] {
        lines(of: "proc/self/cgroup").flatMap { line -> [Int] in
            // `0::/path` of version 2, `4:memory:/path` of version 1.
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { return [] }
            if fields[0] == "0", fields[1].isEmpty {
                return ["sys/fs/cgroup", "sys/fs/cgroup/unified"].flatMap { mount in
                    folders(from: mount, down: fields[2]).compactMap {
                        left(
                            in: $0, of: "memory.max", used: "memory.current", cached: ["active_file", "inactive_file"])
                    }
                }
            }
            guard fields[1].split(separator: ",").contains("memory") else { return [] }
            return folders(from: "sys/fs/cgroup/memory", down: fields[2]).compactMap {
                left(
                    in: $0, of: "memory.limit_in_bytes", used: "memory.usage_in_bytes",
                    cached: ["total_active_file", "total_inactive_file"])
            }
        }
    }

    /// A folder and all on the way to it; in a container, whose group is mounted as the first, the others are not there.
    private func folders(from mount: String, down path: Substring) -> [String] {
        path.split(separator: "/").filter { $0 != ".." }.reduce(into: [mount]) {
            $0.append("\($0[$0.count - 1])/\($1)")
        }
    }

    private func left(in folder: String, of limit: String, used: String, cached: [String]) -> Int? {
        // Without a limit: `max` in version 2, 2^63 less a page in version 1.
        guard let limit = number(in: "\(folder)/\(limit)"), limit < 1 << 62,
            let used = number(in: "\(folder)/\(used)")
        else { return nil }
        // What files have in memory gives way, as in MemAvailable.
        let files = cached.reduce(0) { $0 &+ (value(of: $1, in: "\(folder)/memory.stat") ?? 0) }
        return max(0, limit &- max(0, used &- files))
    }

    // MARK: - Slurm

    /// What the job was given on this node, in units of 2^20 bytes; 0 there stands for all.
    private var slurmByteCount: Int? {
        let all = variable("SLURM_MEM_PER_NODE")
        let shares = variable("SLURM_MEM_PER_CPU").flatMap { share in
            variable("SLURM_CPUS_ON_NODE").map { share.multipliedReportingOverflow(by: $0).partialValue }
        }
        guard let size = all ?? shares, size > 0 else { return nil }
        let (bytes, overflow) = size.multipliedReportingOverflow(by: 1 << 20)
        return overflow ? nil : bytes
    }

    private func variable(_ name: String) -> Int? { environment(name).flatMap { Int($0) } }

    // MARK: - Files of numbers

    private func number(in path: String) -> Int? { lines(of: path).first.flatMap { Int($0) } }

    /// The number behind a name in a list of them.
    private func value(of name: String, in path: String) -> Int? {
        for line in lines(of: path) {
            let words = line.split(separator: " ")
            if words.count > 1, words[0] == name { return Int(words[1]) }
        }
        return nil
    }

    private func lines(of path: String) -> [Substring] {
        guard let file = fopen(root.appending(path).string, "re") else { return [] }
        defer { fclose(file) }
        var buffer = [UInt8](repeating: 0, count: 1 << 14)
        let count = fread(&buffer, 1, buffer.count, file)
        return String(decoding: buffer.prefix(count), as: UTF8.self).split(separator: "\n")
    }
}
