import Checkpoints
import Merging
import SystemPackage
import TensorCore
import Work
import Workflow

extension BenchmarkCase {
    /// Merges in BF16, to a file on disk.
    static let merge = BenchmarkCase(
        name: "merge", question: "How long does a merge take, beside reading the inputs and copying one of them?",
        options: "[--megabytes 256] [--threads N] [--runs 3] [--width 1024] [--memory MEGABYTES] [--method NAME] "
            + "[--folder /tmp]"
    ) { options in
        let folder = try SyntheticFolder(options)
        let bench = try MergeBench(folder, options)
        try bench.elementwise()
        guard options.text("method", default: "").isEmpty else { return }
        try bench.together()
        try bench.tinyTensors()
        try bench.matrices()
    }
}

/// Merges of synthetic models.
private struct MergeBench {
    private let folder: SyntheticFolder
    private let options: BenchmarkOptions
    private let runs: Int

    init(_ folder: SyntheticFolder, _ options: BenchmarkOptions) throws {
        self.folder = folder
        self.options = options
        runs = try options.number("runs", default: 3)
    }

    /// A method with parameters, for a number of experts.
    private struct Subject {
        let method: String
        let experts: Int
        let parameters: [String: ParameterValue]

        init(_ method: String, experts: Int = 3, _ parameters: [String: ParameterValue] = [:]) {
            self.method = method
            self.experts = experts
            self.parameters = parameters
        }

        var label: String {
            method + parameters.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        }
    }

    private static let density: [String: ParameterValue] = ["density": .number(0.2)]

    private static let subjects: [Subject] = [
        Subject("linear"), Subject("task_arithmetic"), Subject("ties", density),
        Subject("ties", density.merging(["trim_scope": .text("model")]) { $1 }),
        Subject("slerp", experts: 1), Subject("nuslerp", experts: 2), Subject("multislerp"), Subject("karcher"),
        Subject("nearswap", experts: 1), Subject("passthrough", experts: 1), Subject("consensus_ta"),
        Subject("model_stock"), Subject("dare_linear", density), Subject("dare_ties", density),
        Subject("della_linear", ["density": .number(0.5)]), Subject("della", ["density": .number(0.5)]),
        Subject("breadcrumbs", density), Subject("breadcrumbs_ties", density), Subject("sce"),
        Subject("sce", ["select_topk": .number(0.2)]), Subject("magmax"), Subject("ram"), Subject("ramplus_tl"),
        Subject("arcee_fusion", experts: 1),
    ]

    /// Every elementwise method, in turn with the floor, of a base and three experts.
    func elementwise() throws {
        let byteCount = try options.number("megabytes", default: 256) << 20
        let width = try options.number("width", default: 1024)
        let files = try models(4, byteCount: byteCount, width: width)
        let stores = try files.map { try TensorStore(opening: $0) }
        let wanted = options.text("method", default: "")
        let subjects = Self.subjects.filter { wanted.isEmpty || $0.method == wanted }
        guard !subjects.isEmpty else {
            throw BenchmarkUsage(message: "--method \(wanted) is not an elementwise method")
        }
        print(
            "\(files.count) models of \(byteCount >> 20) MiB, median of \(runs), beside reading as many and copying one:"
        )
        for subject in subjects {
            let info = try MergeMethods.named(subject.method).info
            let inputs = Array(files[(info.usesBase ? 0 : 1)...subject.experts])
            var ratios: [Double] = []
            var times: [Measurement] = []
            for _ in 0..<runs {
                let floor = try Measurement {
                    for file in inputs { try readThrough(file) }
                    try copyAndFlush(inputs[0], to: folder.file("copy"))
                }
                let time = try Measurement { try merge(subject, base: info.usesBase ? stores[0] : nil, stores) }
                times.append(time)
                ratios.append(time.wallSeconds / floor.wallSeconds)
            }
            times.sort { $0.wallSeconds < $1.wallSeconds }
            report(subject.label, times[runs / 2], ", \(fixed(ratios.sorted()[runs / 2], 2)) of the floor")
        }
    }

    /// Three merges of the same models in one sweep, in turn with one of them.
    func together() throws {
        let byteCount = try options.number("megabytes", default: 256) << 20
        let stores = try models(9, byteCount: byteCount / 4, width: 1024).map { try TensorStore(opening: $0) }
        let subjects = [0.2, 0.3, 0.4].map { Subject("task_arithmetic", experts: 8, ["lambda": .number($0)]) }
        var (ratios, times): ([Double], [Measurement]) = ([], [])
        for _ in 0..<runs {
            let one = try Measurement { try merge([subjects[0]], base: stores[0], stores) }
            let three = try Measurement { try merge(subjects, base: stores[0], stores) }
            times.append(three)
            ratios.append(three.wallSeconds / one.wallSeconds)
        }
        times.sort { $0.wallSeconds < $1.wallSeconds }
        report(
            "three merges of eight experts of \(byteCount >> 22) MiB in one sweep", times[runs / 2],
            ", \(fixed(ratios.sorted()[runs / 2], 2)) of one")
    }

    /// TIES, whose selection works on every tensor by itself.
    func tinyTensors() throws {
        let count = 5000
        let stores = try models(4, byteCount: count * 128, width: 8).map { try TensorStore(opening: $0) }
        let subject = Subject("ties", Self.density)
        let series = try Series(runs: runs) { try merge(subject, base: stores[0], stores) }
        report("\(subject.label), \(count) tensors of 8 x 8", series.median)
    }

    /// Methods that decompose, of eight experts. Fixtures/benchmarks has the same in PyTorch.
    func matrices() throws {
        let stores = try models(9, byteCount: 16 << 20, width: 1024).map { try TensorStore(opening: $0) }
        for method in ["iso_c", "tsv_m", "dc_merge", "swudi"] {
            let time = try Measurement { try merge(Subject(method, experts: 8), base: stores[0], stores) }
            report("\(method), 8 experts, 8 matrices of 1024 x 1024", time)
        }
    }

    private func models(_ count: Int, byteCount: Int, width: Int) throws -> [FilePath] {
        try (0..<count).map {
            try folder.checkpoint(
                "model\($0)-\(width)-\(count).safetensors", byteCount: byteCount, dtype: .bf16, width: width,
                seed: UInt64($0))
        }
    }

    private func merge(_ subject: Subject, base: TensorStore?, _ stores: [TensorStore]) throws {
        try merge([subject], base: base, stores)
    }

    /// Merges once, in one sweep, and throws the results away.
    ///
    /// - Parameter stores: the base, then the experts.
    private func merge(_ subjects: [Subject], base: TensorStore?, _ stores: [TensorStore]) throws {
        let context = Context(
            budget: try options.budget(),
            memory: options.text("memory", default: "").isEmpty ? nil : try options.number("memory", default: 1) << 20)
        let jobs = try subjects.enumerated().map { number, subject in
            let target = try OutputTarget(
                OutputPlace(folder.file("merged\(number).safetensors"), isFolder: false),
                options: WriteOptions(force: true))
            return try MergeJob(
                method: subject.method, base: base,
                experts: stores[1...subject.experts].enumerated().map {
                    (name: "expert\($0.offset)", store: $0.element)
                },
                parameters: MergeParameters(subject.parameters), target: target, in: context)
        }
        _ = try MergeBatch(jobs).run(in: context)
    }

    private func report(_ label: String, _ time: Measurement, _ rest: String = "") {
        print("\(label): \(fixed(time.wallSeconds, 3)) s, CPU \(fixed(time.processorSeconds, 3)) s\(rest)")
    }
}

/// Reads a file from beginning to end, as `cat` does for nobody.
private func readThrough(_ path: FilePath) throws {
    let input = try FileDescriptor.open(path, .readOnly)
    defer { try? input.close() }
    var buffer = [UInt8](repeating: 0, count: 1 << 17)
    while try buffer.withUnsafeMutableBytes({ try input.read(into: $0) }) > 0 {}
}
