import Checkpoints
import Merging
import Pipeline
import SystemPackage
import TensorCore

extension BenchmarkCase {
    /// Merges of a base and three experts in BF16, to a file on disk.
    static let merge = BenchmarkCase(
        name: "merge", question: "How long does a merge take, beside reading the inputs and copying one of them?",
        options: "[--megabytes 256] [--threads N] [--runs 3] [--width 1024] [--folder /tmp]"
    ) { options in
        let folder = try SyntheticFolder(options)
        let megabytes = try options.number("megabytes", default: 256)
        let width = try options.number("width", default: 1024)
        let budget = try options.budget()
        let files = try (0..<4).map {
            try folder.checkpoint(
                "model\($0).safetensors", byteCount: megabytes << 20, dtype: .bf16, width: width, seed: UInt64($0))
        }
        let stores = try files.map { try TensorStore(opening: $0) }
        let experts = stores.dropFirst().enumerated().map { (name: "expert\($0.offset)", store: $0.element) }
        let runs = try options.number("runs", default: 3)
        let floor = try Series(runs: runs) {
            for store in stores { _ = try store.reader.verify() }
            try copyAndFlush(files[0], to: folder.file("copy"))
        }
        print("read all, copy one and flush: median \(fixed(floor.median.wallSeconds, 3)) s of \(runs)")
        let methods: [(String, [String: ParameterValue])] = [
            ("linear", [:]), ("task_arithmetic", [:]), ("ties", ["density": .number(0.2)]),
            ("ties", ["density": .number(0.2), "trim_scope": .text("model")]),
        ]
        for (method, parameters) in methods {
            let series = try Series(runs: runs) {
                let stage = try MergeStage(
                    method: method, base: method == "linear" ? nil : stores[0], experts: experts,
                    parameters: MergeParameters(parameters), budget: budget)
                _ = try stage.write(to: folder.file("merged.safetensors"), options: WriteOptions(force: true))
            }
            let scope = parameters["trim_scope"] == nil ? "" : ", trimmed over the model"
            print(
                "\(method)\(scope): median \(fixed(series.median.wallSeconds, 3)) s, CPU "
                    + "\(fixed(series.median.processorSeconds, 3)) s, "
                    + "\(fixed(series.median.wallSeconds / floor.median.wallSeconds, 2)) of the floor")
        }
    }
}
