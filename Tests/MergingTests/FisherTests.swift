import Checkpoints
import Merging
import Synchronization
import TensorCore
import TestSupport
import Testing

@Suite("Fisher merging") struct FisherTests {
    /// The norms are those of the statistics, for which no model is read.
    @Test("models are read once, normalised or not", arguments: [true, false])
    func readsModelsOnce(normalize: Bool) throws {
        let folder = TemporaryFolder()
        let model = try makeModel([TestTensor("a", [1, 2, 3]), TestTensor("b", [4, 5])])
        var paths: [ParameterValue] = []
        for expert in 0..<2 {
            let path = folder.file("\(expert).safetensors")
            let writer = try CheckpointFormat.makeWriter(.safetensors, at: path, declaring: model.descriptors)
            for place in model.descriptors.indices {
                try model.reader.bytes(of: place).withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
            }
            _ = try writer.finish()
            paths.append(.text(path.string))
        }
        let readers = (0..<2).map { _ in DecodingReader(model.reader) }
        let merged = try merge(
            "fisher", base: nil, readers.map { TensorStore($0) },
            MergeParameters(["statistics": .list(paths), "normalize": .flag(normalize)]))
        #expect(readers.map(\.readCount) == [2, 2])
        #expect(merged.plan.summary.passCount == 1)
        for (a, b) in zip(try merged.store.values("a"), [1.0, 2, 3]) { #expect(abs(a - b) < 1e-6) }
        // What is done still adds up to what was announced.
        let done = Mutex(0)
        let writer = try MemoryCheckpointWriter(declaring: merged.plan.outputs)
        _ = try merged.plan.execute(into: writer) { count in done.withLock { $0 = count } }
        #expect(done.withLock { $0 } == merged.plan.summary.progressByteCount)
    }
}
