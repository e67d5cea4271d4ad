import Checkpoints
import Merging
import Synchronization
import TensorCore
import TestSupport
import Testing

@Suite("streaming") struct StreamingTests {
    /// Tensors with less than a block, several pieces and several chunks of elements.
    static func model(seed: UInt64, dtype: DType) throws -> TensorStore {
        var numbers = TestNumbers(seed: seed)
        return try makeModel([
            TestTensor("small", numbers.list(3), dtype: dtype),
            TestTensor("long", numbers.list(2_200_001), dtype: dtype),
            TestTensor("matrix", numbers.list(40 * 60), shape: [40, 60], dtype: dtype),
            TestTensor("square", numbers.list(70 * 70), shape: [70, 70], dtype: dtype),
            TestTensor("piece", numbers.list(65_536), dtype: dtype),
        ])
    }

    static let methods: [(String, [String: ParameterValue])] = [
        ("linear", ["weight": .list([.number(0.3), .number(0.9)])]),
        ("task_arithmetic", ["lambda": .number(0.4)]),
        ("ties", ["density": .number(0.3)]),
        ("ties", ["density": .number(0.3), "trim_scope": .text("model")]),
        ("tsv_m", [:]),
        ("iso_c", [:]),
    ]

    @Test("the result does not depend on threads or memory", arguments: methods)
    func determinism(method: String, values: [String: ParameterValue]) throws {
        let base = try Self.model(seed: 1, dtype: .bf16)
        let experts = try [Self.model(seed: 2, dtype: .bf16), Self.model(seed: 3, dtype: .f32)]
        let parameters = MergeParameters(values)
        let expected = try merge(method, base: base, experts, parameters, threads: 1).store.allBytes()
        for threads in [2, 5] {
            #expect(try merge(method, base: base, experts, parameters, threads: threads).store.allBytes() == expected)
        }
        let tight = try mergeInLeastMemory(method, base: base, experts, parameters, threads: 3)
        #expect(try tight.store.allBytes() == expected)
        let decoded = try mergeInLeastMemory(
            method, base: base, experts.map { TensorStore(DecodingReader($0.reader)) }, parameters, threads: 2)
        #expect(try decoded.store.allBytes() == expected)
    }

    @Test("files merge as models in memory do, and the result reads back")
    func files() throws {
        let folder = TemporaryFolder()
        let models = try (1...2).map { try Self.model(seed: $0, dtype: .f16) }
        var files: [TensorStore] = []
        for (i, model) in models.enumerated() {
            let path = folder.file("model\(i).safetensors")
            let writer = try CheckpointFormat.makeWriter(.safetensors, at: path, declaring: model.descriptors)
            for (place, descriptor) in model.descriptors.enumerated() {
                try model.rawBytes(descriptor.name).withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
            }
            _ = try writer.finish()
            files.append(try TensorStore(opening: path))
        }
        let expected = try merge("linear", base: nil, models).store
        let plan = try MergePlan(
            method: try MergeMethods.named("linear"), base: nil, experts: files.map { (name: "file", store: $0) })
        let path = folder.file("merged.safetensors")
        let writer = try CheckpointFormat.makeWriter(.safetensors, at: path, declaring: plan.outputs)
        _ = try plan.execute(into: writer)
        _ = try writer.finish()
        let written = try TensorStore(opening: path)
        for descriptor in expected.descriptors {
            #expect(try written.rawBytes(descriptor.name) == expected.rawBytes(descriptor.name))
        }
    }

    @Test("progress rises to what the plan announced", arguments: methods)
    func progress(method: String, values: [String: ParameterValue]) throws {
        let base = try Self.model(seed: 1, dtype: .bf16)
        let plan = try MergePlan(
            method: try MergeMethods.named(method), base: base,
            experts: try (2...3).map { (name: "expert", store: try Self.model(seed: $0, dtype: .bf16)) },
            parameters: MergeParameters(values))
        let steps = Mutex<[Int]>([])
        _ = try plan.execute(into: MemoryCheckpointWriter(declaring: plan.outputs)) { done in
            steps.withLock { $0.append(done) }
        }
        let seen = steps.withLock { $0 }
        #expect(seen == seen.sorted())
        #expect(seen.last == plan.summary.progressByteCount)
    }

    /// Fails at a byte of one tensor, as a full disk does.
    final class FailingWriter: CheckpointWriter {
        func write(_ bytes: UnsafeRawBufferPointer, tensor: Int, at offset: Int) throws {
            if tensor == 1, offset > 0 { throw IOError(kind: .diskFull, message: "full", file: nil) }
        }
        func finish() throws -> WrittenCheckpoint { WrittenCheckpoint(files: [], byteCount: 0) }
    }

    @Test("an error of the writer ends the merge")
    func writerFails() throws {
        let model = try Self.model(seed: 1, dtype: .f32)
        let plan = try MergePlan(
            method: try MergeMethods.named("linear"), base: nil, experts: [(name: "a", store: model)])
        let error = try #require(throws: IOError.self) { _ = try plan.execute(into: FailingWriter()) }
        #expect(error.code == "io.disk_full")
    }
}
