import Checkpoints
import Merging
import SystemPackage
import TensorCore
import Transcoding
import Work
import Workflow

extension BenchmarkCase {
    /// Merges of one set of models in two forms, in turn.
    static let quantizedMerge = BenchmarkCase(
        name: "quantized-merge", question: "How long does a merge of FP8 models take, beside the same models in BF16?",
        options: "[--megabytes 256] [--threads N] [--runs 5] [--width 1024] [--method linear] [--folder /tmp]"
    ) { options in
        let folder = try SyntheticFolder(options)
        let context = Context(budget: try options.budget())
        let byteCount = try options.number("megabytes", default: 256) << 20
        let width = try options.number("width", default: 1024)
        func target(_ name: String) throws -> OutputTarget {
            try OutputTarget(
                OutputPlace(folder.file(name), isFolder: false), options: WriteOptions(force: true, sync: false))
        }
        let plain = try (0..<3).map {
            try folder.checkpoint(
                "plain\($0).safetensors", byteCount: byteCount, dtype: .bf16, width: width, seed: UInt64($0))
        }
        let codes = try plain.indices.map { number in
            let source = try TensorStore(opening: plain[number])
            let store = TensorStore(
                try FP8Checkpoint(source.reader, as: .blocks, selection: TensorSelection()))
            let plan = try ConversionPlan(of: store, to: try target("codes\(number).safetensors"))
            _ = try Conversion(plan, of: store).run(in: context)
            return folder.file("codes\(number).safetensors")
        }
        func merge(_ files: [FilePath]) throws {
            let stores = try files.map { try TensorStore(opening: $0) }
            let name = options.text("method", default: "linear")
            let needsBase = try MergeMethods.named(name).info.needsBase
            let experts = stores.dropFirst(needsBase ? 1 : 0).enumerated().map {
                (name: "expert\($0.offset)", store: $0.element)
            }
            _ = try MergeJob(
                method: name, base: needsBase ? stores[0] : nil, experts: experts, parameters: MergeParameters(),
                outputDType: .bf16, target: try target("merged.safetensors"), in: context
            ).run(in: context)
        }
        let runs = try options.number("runs", default: 5)
        var (before, after): ([Measurement], [Measurement]) = ([], [])
        for _ in 0..<runs {
            before.append(try Measurement { try merge(plain) })
            after.append(try Measurement { try merge(codes) })
        }
        let ratios = zip(after, before).map { $0.wallSeconds / $1.wallSeconds }.sorted()
        for (label, times) in [("BF16", before), ("FP8", after)] {
            let median = times.sorted { $0.wallSeconds < $1.wallSeconds }[runs / 2]
            print("\(label): \(fixed(median.wallSeconds, 3)) s, CPU \(fixed(median.processorSeconds, 3)) s")
        }
        print("FP8 takes \(fixed(ratios[runs / 2], 2)) of BF16, median of \(runs)")
    }
}
