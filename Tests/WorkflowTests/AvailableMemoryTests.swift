import Glibc
import SystemPackage
import TensorCore
import TestSupport
import Testing
import Work

/// How much memory a process may take, from files and variables that look like those of a machine.
@Suite struct AvailableMemoryTests {
    private let folder = TemporaryFolder()

    private func write(_ files: [String: String]) throws {
        for (name, text) in files {
            try makeFolders(above: name)
            _ = try folder.write(Array(text.utf8), to: name)
        }
    }

    private func makeFolders(above name: String) throws {
        var path = folder.path
        for part in name.split(separator: "/").dropLast() {
            path.append(String(part))
            mkdir(path.string, 0o755)
        }
    }

    private func byteCount(_ variables: [String: String] = [:]) -> Int {
        AvailableMemory(root: folder.path) { variables[$0] }.byteCount
    }

    @Test func takesWhatTheMachineHas() throws {
        // Nothing speaks.
        #expect(byteCount() == 2 << 30)
        try write(["proc/meminfo": "MemTotal:  9000 kB\nMemFree: 1 kB\nMemAvailable:   5000 kB\n"])
        #expect(byteCount() == 5000 * 1024)
    }

    @Test func keepsTheLeastOfWhatTheGroupsLeave() throws {
        try write([
            "proc/meminfo": "MemAvailable: 1000000 kB\n",
            "proc/self/cgroup": "0::/system.slice/slurmstepd.scope/job_7/step_0\n",
            "sys/fs/cgroup/system.slice/memory.max": "max\n",
            "sys/fs/cgroup/system.slice/memory.current": "123\n",
            "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.max": "100000\n",
            "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.current": "70000\n",
            // Of 70000 that are used, 50000 hold files and give way: 100000 - 20000.
            "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/memory.stat":
                "anon 20000\nfile 50000\ninactive_file 40000\nactive_file 10000\n",
            "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/step_0/memory.max": "90000\n",
            "sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/step_0/memory.current": "5000\n",
        ])
        #expect(byteCount() == 80_000)
        // A limit of Slurm's own counts only where no group has one.
        #expect(byteCount(["SLURM_MEM_PER_NODE": "1"]) == 80_000)
    }

    /// In a container the group of the process is what is mounted, whatever it is called outside.
    @Test func findsTheGroupOfAContainer() throws {
        try write([
            "proc/self/cgroup": "0::/../docker/abc\n", "sys/fs/cgroup/memory.max": "6000\n",
            "sys/fs/cgroup/memory.current": "1000\n",
        ])
        #expect(byteCount() == 5000)
    }

    @Test func readsVersionOne() throws {
        try write([
            "proc/meminfo": "MemAvailable: 1000000 kB\n",
            "proc/self/cgroup": "9:cpu,cpuacct:/slurm/uid_0\n4:memory:/slurm/uid_0/job_5\n0::/\n",
            // No limit: 2^63 less a page.
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
            "sys/fs/cgroup/memory/slurm/uid_0/job_5/memory.limit_in_bytes": "4000\n",
            "sys/fs/cgroup/memory/slurm/uid_0/job_5/memory.usage_in_bytes": "1500\n",
            "sys/fs/cgroup/memory/slurm/uid_0/job_5/memory.stat":
                "cache 600\ntotal_inactive_file 300\ntotal_active_file 200\n",
        ])
        #expect(byteCount() == 4000 - (1500 - 500))
        // More than the limit is used: nothing is left.
        try write(["sys/fs/cgroup/memory/slurm/uid_0/job_5/memory.usage_in_bytes": "9000\n"])
        #expect(byteCount() == 0)
    }

    @Test(arguments: [
        (["SLURM_MEM_PER_NODE": "3"], 3 << 20), (["SLURM_MEM_PER_CPU": "2", "SLURM_CPUS_ON_NODE": "4"], 8 << 20),
        // All of the node; no share without the count of cores; nonsense; beyond any machine.
        (["SLURM_MEM_PER_NODE": "0"], 1_024_000_000), (["SLURM_MEM_PER_CPU": "2"], 1_024_000_000),
        (["SLURM_MEM_PER_NODE": "many"], 1_024_000_000),
        (["SLURM_MEM_PER_NODE": "9223372036854775807"], 1_024_000_000),
    ])
    func takesSlurmsWordWhereNoGroupHasALimit(variables: [String: String], byteCount expected: Int) throws {
        try write(["proc/meminfo": "MemAvailable: 1000000 kB\n", "proc/self/cgroup": "0::/\n"])
        #expect(byteCount(variables) == expected)
    }

    @Test func countsTheCoresOfATask() {
        #expect(coreCount(allowed: 8, given: nil) == 8)
        #expect(coreCount(allowed: 8, given: "2") == 2)
        #expect(coreCount(allowed: 2, given: "16") == 2)
        #expect(coreCount(allowed: 8, given: "0") == 1)
        #expect(coreCount(allowed: 8, given: "x") == 8)
    }
}
