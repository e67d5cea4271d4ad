import Checkpoints
import SystemPackage
import TensorCore

extension BenchmarkCase {
    /// Opening checks the whole header and touches no tensor.
    static let open = BenchmarkCase(
        name: "open", question: "How long does it take to open a safetensors file and check its header?",
        options: "[--tensors 1000] [--runs 20] [--folder /tmp]"
    ) { options in
        let folder = try SyntheticFolder(options)
        let count = try options.number("tensors", default: 1000)
        let path = folder.file("many.safetensors")
        let descriptors = try (0..<count).map {
            try TensorDescriptor(
                name: TensorName("model.layers.\($0).mlp.up_proj.weight"), dtype: .bf16, shape: [8, 8])
        }
        let writer = try CheckpointFormat.makeWriter(
            .safetensors, at: path, declaring: descriptors, options: WriteOptions(sync: false))
        let zeros = try AlignedBuffer(byteCount: 128)
        for index in descriptors.indices { try writer.write(zeros.bytes, tensor: index, at: 0) }
        _ = try writer.finish()
        let series = try Series(runs: options.number("runs", default: 20)) {
            _ = try TensorStore(opening: path)
        }
        print(
            "\(count) tensors: best \(fixed(1e3 * series.best.wallSeconds, 2)) ms, "
                + "median \(fixed(1e3 * series.median.wallSeconds, 2)) ms")
    }
}
