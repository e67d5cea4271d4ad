import Checkpoints
import Kernels
import Merging
import SystemPackage
import TensorCore
import TestSupport
import Testing

@Suite("figures taken while merging") struct MergeLedgerTests {
    private let folder = TemporaryFolder()

    /// Several chunks, matrices, integers, nothing, and a tensor that takes no part.
    private func tensors(seed: UInt64, dtype: DType) -> [TestTensor] {
        var numbers = TestNumbers(seed: seed)
        return [
            TestTensor("long", numbers.list(2_200_001), dtype: dtype),
            TestTensor("matrix", numbers.list(40 * 60), shape: [40, 60], dtype: dtype),
            TestTensor("empty", [], shape: [0, 4], dtype: dtype), TestTensor("ids", [3, 4], dtype: .i64),
            TestTensor("unused", numbers.list(1000), dtype: dtype),
            TestTensor("zeros", [Double](repeating: 0, count: 3000), dtype: dtype),
        ]
    }

    private func file(_ name: String, _ tensors: [TestTensor], _ format: FormatID = .safetensors) throws -> TensorStore
    {
        let model = try makeModel(tensors)
        let path = folder.file("\(name).\(format.rawValue)")
        let writer = try CheckpointFormat.makeWriter(format, at: path, declaring: model.descriptors)
        for (place, descriptor) in model.descriptors.enumerated() {
            try model.rawBytes(descriptor.name).withUnsafeBytes {
                if !$0.isEmpty { try writer.write($0, tensor: place, at: 0) }
            }
        }
        _ = try writer.finish()
        return try TensorStore(opening: path)
    }

    private func figures(
        _ method: String, base: TensorStore?, _ experts: [TensorStore], _ values: [String: ParameterValue],
        threads: Int
    ) throws -> (figures: MergeFigures, store: TensorStore, report: MergeReport) {
        let plan = try MergePlan(
            method: try MergeMethods.named(method), base: base,
            experts: experts.enumerated().map { (name: "expert \($0 + 1)", store: $1) },
            parameters: MergeParameters(values), selection: TensorSelection(exclude: ["unused"]),
            budget: ComputeBudget(threads: threads))
        let merge = try StackedMerge([plan])
        let files = ((base.map { [$0] } ?? []) + experts).flatMap(\.reader.files)
        let ledger = try MergeLedger(of: merge, files: files)
        let writer = try MemoryCheckpointWriter(declaring: merge.outputs)
        let report = try MergeTask.execute([MergeTask(of: merge, into: writer, ledger: ledger)]) { _ in }[0]
        _ = try writer.finish()
        return (
            ledger.finish(threads: threads), TensorStore(try #require(writer.checkpoint)), report
        )
    }

    /// Squares added one after the other in F64.
    private func norm(_ name: TensorName, in store: TensorStore) throws -> Double {
        try store.values(name).reduce(0) { $0 + $1 * $1 }.squareRoot()
    }

    static let methods: [(String, [String: ParameterValue])] = [
        ("linear", ["weight": .list([.number(0.3), .number(0.9)])]),
        ("linear", ["weight": .list([.number(1), .number(0)])]),
        ("ties", ["density": .number(0.3)]),
        ("ties", ["density": .number(0.3), "trim_scope": .text("model")]),
        ("dare_ties", ["density": .number(0.5)]), ("model_stock", [:]), ("tsv_m", [:]), ("iso_c", [:]),
        ("knots_ties", ["density": .number(0.5)]), ("nuslerp", [:]),
    ]

    @Test("norms and hashes are those of the files, on any number of threads", arguments: methods)
    func files(method: String, values: [String: ParameterValue]) throws {
        // The experts' tensors lie in other orders, and one of them has another type.
        let base = try file("base", tensors(seed: 1, dtype: .bf16))
        let experts = [
            try file("a", tensors(seed: 2, dtype: .bf16).reversed()),
            try file("b", tensors(seed: 3, dtype: .f32).shuffled()),
        ]
        let models = [base] + experts
        var previous: [UInt64] = []
        for threads in [1, 2, 5] {
            let (figures, store, _) = try figures(method, base: base, experts, values, threads: threads)
            var bits: [UInt64] = []
            for name in store.descriptors.map(\.name) where name != "ids" {
                let norms = figures[name]
                let expected = try norm(name, in: store)
                #expect(abs(norms.result.norm - expected) <= 1e-6 * expected)
                bits.append(norms.result.squares.bitPattern)
                for (place, model) in models.enumerated() where name != "empty" {
                    if method == "linear", place == 0 {
                        #expect(norms.inputs[place] == nil)
                        continue
                    }
                    let expected = try norm(name, in: model)
                    let found = try #require(norms.inputs[place]?.norm)
                    #expect(abs(found - expected) <= 1e-6 * expected, "\(name) of model \(place)")
                    bits.append(found.bitPattern)
                }
            }
            #expect(figures["ids"].inputs.isEmpty)
            #expect(figures.files.count == 3)
            for model in models {
                let whole = ContentHash.Accumulator()
                try MappedFile(model.path).withUnsafeBytes { whole.update($0) }
                #expect(figures.files[model.path]?.hash == whole.finish())
            }
            #expect(previous.isEmpty || previous == bits)
            previous = bits
        }
    }

    @Test(
        "a base that a method has no use for is not read, and so not hashed", arguments: ["linear", "karcher", "ties"])
    func unusedBase(method: String) throws {
        let weights = { (seed: UInt64) in tensors(seed: seed, dtype: .bf16).filter { $0.name != "ids" } }
        let (base, expert) = (try file("base", weights(1)), try file("a", weights(2)))
        let reader = DecodingReader(base.reader)
        let (figures, store, _) = try figures(
            method, base: TensorStore(reader), [expert, try file("b", weights(3))], [:], threads: 2)
        let isRead = method == "ties"
        #expect((reader.readCount > 0) == isRead)
        #expect((figures.files[base.path]?.hash != nil) == isRead)
        #expect(figures.files[base.path]?.byteCount == fileByteCount(base.path))
        #expect(figures.files[expert.path]?.hash != nil)
        for name in store.descriptors.map(\.name) where name != "empty" {
            #expect((figures[name].inputs[0] != nil) == isRead)
            #expect(figures[name].inputs[1] != nil)
        }
    }

    @Test("compressed inputs are measured as they are decoded", arguments: [FormatID.npz, .skein])
    func decoded(format: FormatID) throws {
        let (base, expert) = (
            try file("base", tensors(seed: 1, dtype: .f32), format),
            try file("a", tensors(seed: 2, dtype: .f32), format)
        )
        let figures = try figures("ties", base: base, [expert], ["density": .number(0.3)], threads: 2).figures
        for (place, model) in [base, expert].enumerated() {
            let expected = try norm("long", in: model)
            #expect(abs((figures["long"].inputs[place]?.norm ?? 0) - expected) <= 1e-9 * expected)
            let whole = ContentHash.Accumulator()
            try MappedFile(model.path).withUnsafeBytes { whole.update($0) }
            #expect(figures.files[model.path]?.hash == whole.finish())
        }
    }

    @Test("odd numbers are found as without figures")
    func oddNumbers() throws {
        func model(_ name: String, _ values: [Double], dtype: DType) throws -> TensorStore {
            try file(name, [TestTensor("w", values, dtype: dtype)])
        }
        let a = try model("a", [1, .nan, .infinity, 4], dtype: .bf16)
        let b = try model("b", [3e38, 2, 2, 3], dtype: .f32)
        let (figures, _, report) = try figures("linear", base: nil, [a, b], ["normalize": .flag(false)], threads: 2)
        #expect(figures["w"].inputs[0]?.nonFinite == NonFiniteCount(nan: 1, infinite: 1))
        #expect(figures["w"].inputs[1]?.nonFinite.isZero == true)
        #expect(figures["w"].result.nonFinite == NonFiniteCount(nan: 1, infinite: 1))
        #expect(report.notFinite.map(\.count) == [NonFiniteCount(nan: 1, infinite: 1)])
        #expect(report.findings.map { [$0.nanCount, $0.infinityCount, $0.losses.overflowCount] } == [[1, 1, 0]])
    }
}
