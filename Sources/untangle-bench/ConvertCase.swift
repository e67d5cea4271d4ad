import Checkpoints
import SystemPackage
import TensorCore
import Transcoding
import Work

extension BenchmarkCase {
    /// Conversion to the same format and type, and to half the width; both wait for the disk.
    static let convert = BenchmarkCase(
        name: "convert", question: "How long does a conversion take, beside a plain copy of the file?",
        options: "[--megabytes 512] [--threads N] [--runs 5] [--folder /tmp]"
    ) { options in
        let folder = try SyntheticFolder(options)
        let megabytes = try options.number("megabytes", default: 512)
        let context = Context(budget: try options.budget())
        let source = try folder.checkpoint(
            "source.safetensors", byteCount: megabytes << 20, dtype: .f32, width: 1024, seed: 0)
        let store = try TensorStore(opening: source)
        func convert(to name: String, dtype: DType?) throws {
            let target = try OutputTarget(
                OutputPlace(folder.file(name), isFolder: false), options: WriteOptions(force: true))
            let plan = try ConversionPlan(of: store, to: target, options: ConversionOptions(dtype: dtype))
            _ = try Conversion(plan, of: store).run(in: context)
        }
        let runs = try options.number("runs", default: 5)
        // In turn, so that a drift of the machine meets all of them.
        var (floors, copies, casts): ([Double], [Double], [Double]) = ([], [], [])
        for _ in 0..<runs {
            floors.append(try Measurement { try copyAndFlush(source, to: folder.file("copy")) }.wallSeconds)
            copies.append(try Measurement { try convert(to: "same.safetensors", dtype: nil) }.wallSeconds)
            casts.append(try Measurement { try convert(to: "half.safetensors", dtype: .bf16) }.wallSeconds)
        }
        for (label, times) in [("copy and flush", floors), ("convert", copies), ("convert to BF16", casts)] {
            let median = times.sorted()[runs / 2]
            print(
                "\(label): median \(fixed(median, 3)) s of \(runs), best \(fixed(times.min() ?? 0, 3)) s, "
                    + "\(fixed(Double(megabytes) / 1024 / median, 2)) GiB/s read")
        }
    }
}
