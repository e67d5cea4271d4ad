import Analysis
import Checkpoints
import Glibc
import Kernels
import SystemPackage
import TensorCore

extension BenchmarkCase {
    /// Statistics of task vectors without spectra, in turn with copying the same bytes in memory, and spectra.
    static let vectors = BenchmarkCase(
        name: "vectors",
        question: "How fast are the statistics of eight task vectors, beside memcpy of the same bytes?",
        options:
            "[--megabytes 350] [--experts 8] [--threads N] [--runs 3] [--rows 768] [--columns 3072] [--folder /tmp]"
    ) { options in
        let folder = try SyntheticFolder(options)
        let bench = try VectorsBench(folder, options)
        try bench.statistics()
        try bench.spectra()
    }
}

/// Task vectors of synthetic experts in F32.
private struct VectorsBench {
    private let folder: SyntheticFolder
    private let budget: ComputeBudget
    private let runs: Int
    private let expertCount: Int
    private let byteCount: Int
    private let shapes: [(Int, Int)]

    init(_ folder: SyntheticFolder, _ options: BenchmarkOptions) throws {
        self.folder = folder
        budget = try options.budget()
        runs = try options.number("runs", default: 3)
        expertCount = try options.number("experts", default: 8)
        byteCount = try options.number("megabytes", default: 350) * 1_000_000
        let rows = try options.number("rows", default: 768)
        shapes = [(rows, try options.number("columns", default: 3072)), (rows, rows)]
    }

    func statistics() throws {
        let files = try (0...expertCount).map {
            try folder.checkpoint(
                "vectors\($0).safetensors", byteCount: byteCount, dtype: .f32, width: 1024, seed: UInt64($0))
        }
        let set = try Self.set(files)
        let total = Double(files.count * set.parameterCount * 4)
        print("\(files.count) models of \(set.parameterCount * 4 / 1_000_000) MB, \(budget.threads) threads, in turn:")
        for _ in 0..<runs {
            // Before the copies, whose memory would count.
            let work = try Measurement { _ = try TaskVectorStatistics(set, level: .model, budget: budget) }
            let memory = anonymousMegabytes()
            let copy = try Measurement { try self.copy(files) }
            print(
                "statistics \(fixed(total / work.wallSeconds / 1e9, 2)) GB/s (CPU \(fixed(work.processorSeconds, 2)) s), "
                    + "memcpy \(fixed(total / copy.wallSeconds / 1e9, 2)) GB/s (CPU \(fixed(copy.processorSeconds, 2)) s), "
                    + "ratio \(fixed(copy.wallSeconds / work.wallSeconds, 2)), \(memory) MB of anonymous memory afterwards"
            )
        }
    }

    /// Copies the bytes of all files into memory as large as one of them, a mebibyte at a time on every thread.
    private func copy(_ files: [FilePath]) throws {
        let step = 1 << 20
        let maps = try files.map { try MappedFile($0) }
        let target = try AlignedBuffer(byteCount: maps.map(\.bytes.count).max() ?? 0)
        // Safety: chunks do not overlap; the buffer outlives the threads.
        nonisolated(unsafe) let memory = target.mutableBytes
        for map in maps {
            nonisolated(unsafe) let bytes = map.bytes
            _ = parallelMap(count: (bytes.count + step - 1) / step, threads: budget.threads) { number in
                let part = number * step..<min((number + 1) * step, bytes.count)
                memcpy(memory.baseAddress! + part.lowerBound, bytes.baseAddress! + part.lowerBound, part.count)
            }
        }
    }

    /// Fixtures/benchmarks has the same in NumPy.
    func spectra() throws {
        for (rows, columns) in shapes {
            let files = try (0...expertCount).map {
                try folder.checkpoint(
                    "matrix\($0)-\(columns).safetensors", dtype: .f32, shapes: [[rows, columns]], seed: UInt64($0))
            }
            let set = try Self.set(files)
            let series = try Series(runs: runs) { _ = try set.spectra(budget: budget) }
            print(
                "spectra, \(expertCount) experts, \(rows) x \(columns): median \(fixed(series.median.wallSeconds, 2)) s, "
                    + "best \(fixed(series.best.wallSeconds, 2)) s, CPU \(fixed(series.best.processorSeconds, 2)) s")
        }
    }

    private static func set(_ files: [FilePath]) throws -> TaskVectorSet {
        let stores = try files.map { try TensorStore(opening: $0) }
        return try TaskVectorSet(
            base: stores[0], experts: stores.dropFirst().enumerated().map { (name: "expert\($0)", store: $1) })
    }

    /// What the process holds beside mapped files, in MB.
    private func anonymousMegabytes() -> Int {
        guard let status = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(status) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), status) != nil {
            let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self).split {
                $0 == " " || $0 == "\t"
            }
            if words.first == "RssAnon:", words.count > 1, let kilobytes = Int(words[1]) { return kilobytes / 1000 }
        }
        return 0
    }
}
