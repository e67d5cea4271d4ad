import Checkpoints
import Kernels
import Merging
import SystemPackage
import TensorCore
import TestSupport
import Testing

/// Merges that are carried out in one sweep: each is what it is by itself, and what they share is read once.
@Suite("merges in one sweep") struct MergeTaskTests {
    private let folder = TemporaryFolder()

    /// Every method, with some of the same experts, one of which is not finite in places that all methods bear.
    private static func plans(
        base: TensorStore, _ experts: [TensorStore], threads: Int, memory: Int? = nil
    ) throws -> [MergePlan] {
        try PlanReuseTests.cases.enumerated().map { place, merge in
            let count = RegistryTests.expertCount(try RegistryTests.info(merge.method))
            let values = merge.values.mapValues { value -> ParameterValue in
                if case .list(let numbers) = value { .list(Array(numbers.prefix(count))) } else { value }
            }
            // Other experts, and in another order, from one method to the next.
            let chosen = (0..<count).map { experts[(place + $0) % experts.count] }
            return try MergePlan(
                method: try MergeMethods.named(merge.method), base: base,
                experts: chosen.enumerated().map { (name: "expert \($0 + 1)", store: $1) },
                parameters: try RegistryTests.needs(merge.method, experts: count, values),
                budget: ComputeBudget(threads: threads), memory: memory)
        }
    }

    private static func execute(_ plans: [MergePlan]) throws -> [(bytes: [UInt8], report: MergeReport)] {
        let writers = try plans.map { try MemoryCheckpointWriter(declaring: $0.outputs) }
        let tasks = try zip(plans, writers).map { MergeTask(of: try StackedMerge([$0]), into: $1) }
        let reports = try MergeTask.execute(tasks) { _ in }
        return try zip(writers, reports).map { writer, report in
            _ = try writer.finish()
            return (try TensorStore(try #require(writer.checkpoint)).allBytes(), report)
        }
    }

    @Test("all methods at once give the bytes and the reports of each by itself", arguments: [1, 2, 5], [false, true])
    func everyMethod(threads: Int, isDecoded: Bool) throws {
        func opened(_ store: TensorStore) -> TensorStore {
            isDecoded ? TensorStore(DecodingReader(store.reader)) : store
        }
        let base = opened(try RegistryTests.model(seed: 2, scale: 0))
        let experts = try (0..<4).map { opened(try RegistryTests.model(seed: UInt64(3 + $0))) }
        let plans = try Self.plans(base: base, experts, threads: threads)
        for (plan, together) in zip(plans, try Self.execute(plans)) {
            let alone = try Self.execute([plan])[0]
            #expect(together.bytes == alone.bytes, "\(plan.method.name)")
            #expect(together.report == alone.report, "\(plan.method.name)")
        }
    }

    @Test("and so they do within little memory")
    func littleMemory() throws {
        let base = try RegistryTests.model(seed: 2, scale: 0)
        let experts = try (0..<4).map {
            TensorStore(DecodingReader(try RegistryTests.model(seed: UInt64(3 + $0)).reader))
        }
        let free = try Self.execute(try Self.plans(base: base, experts, threads: 2)).map(\.bytes)
        let plans = try Self.plans(base: base, experts, threads: 2, memory: 20 << 20)
        #expect(try Self.execute(plans).map(\.bytes) == free)
    }

    /// Two chunks and a bit of one tensor, and a small one.
    private func long(_ name: String, seed: UInt64, with odd: [Int: Double] = [:]) throws -> TensorStore {
        var numbers = TestNumbers(seed: seed)
        var values = numbers.list((2 << 20) + 1001)
        for (place, value) in odd { values[place] = value }
        let model = try makeModel([
            TestTensor("long", values, dtype: .bf16), TestTensor("short", numbers.list(12), shape: [3, 4]),
        ])
        let path = folder.file("\(name).safetensors")
        let writer = try CheckpointFormat.makeWriter(.safetensors, at: path, declaring: model.descriptors)
        for (place, descriptor) in model.descriptors.enumerated() {
            try model.rawBytes(descriptor.name).withUnsafeBytes { try writer.write($0, tensor: place, at: 0) }
        }
        _ = try writer.finish()
        return try TensorStore(opening: path)
    }

    @Test("an input is decoded once for all merges, and once more for each pass before")
    func readsOnce() throws {
        let readers = try (0..<3).map { DecodingReader(try long("model \($0)", seed: UInt64($0 + 1)).reader) }
        let stores = readers.map { TensorStore($0) }
        func plan(_ method: String, _ values: [String: ParameterValue] = [:]) throws -> MergePlan {
            try MergePlan(
                method: try MergeMethods.named(method), base: stores[0],
                experts: [(name: "a", store: stores[1]), (name: "b", store: stores[2])],
                parameters: MergeParameters(values), budget: ComputeBudget(threads: 2))
        }
        let linear = try [
            plan("linear"), plan("task_arithmetic", ["lambda": .number(0.3)]), plan("ram"), plan("magmax"),
        ]
        _ = try Self.execute(linear)
        #expect(readers.map(\.readCount) == [2, 2, 2])
        // Surveys of whole models.
        let ties = try [0.2, 0.4].map {
            try plan("ties", ["density": .number($0), "trim_scope": .text("model")])
        }
        let before = readers.map(\.readCount)
        _ = try Self.execute([ties[0]])
        let one = zip(readers, before).map { $0.readCount - $1 }
        _ = try Self.execute(ties)
        #expect(zip(readers, zip(before, one)).map { $0.readCount - $1.0 - $1.1 } == one)
    }

    @Test("figures of a card, and counts of numbers that are not finite, are those of each merge by itself")
    func figures() throws {
        let base = try long("base", seed: 1)
        let experts = [
            try long("a", seed: 2, with: [5: .nan, 1 << 20: .infinity]), try long("b", seed: 3, with: [2 << 20: .nan]),
            try long("c", seed: 4),
        ]
        func plan(_ method: String, _ places: [Int], _ values: [String: ParameterValue] = [:]) throws -> StackedMerge {
            let plan = try MergePlan(
                method: try MergeMethods.named(method), base: base,
                experts: places.map { (name: "expert \($0)", store: experts[$0]) },
                parameters: MergeParameters(values), budget: ComputeBudget(threads: 2))
            return try StackedMerge([plan])
        }
        let merges = [
            // Leaves the base unread, at which the second then has to look.
            try plan("linear", [0, 1], ["weight": .list([.number(0), .number(1)])]),
            try plan("task_arithmetic", [1, 0, 2]), try plan("ties", [0, 2], ["density": .number(0.3)]),
            try plan("iso_c", [2]),
        ]
        func figures(_ merges: [StackedMerge]) throws -> [(MergeFigures, MergeReport)] {
            var ledgers: [MergeLedger] = []
            for merge in merges {
                let files = merge.plans[0].outputs.isEmpty ? [] : ([base] + experts).flatMap(\.reader.files)
                ledgers.append(try MergeLedger(of: merge, files: files, besides: ledgers))
            }
            let tasks = try zip(merges, ledgers).map {
                MergeTask(of: $0, into: try MemoryCheckpointWriter(declaring: $0.outputs), ledger: $1)
            }
            let reports = try MergeTask.execute(tasks) { _ in }
            return zip(ledgers.map { $0.finish(threads: 2) }, reports).map { ($0, $1) }
        }
        for (merge, together) in zip(merges, try figures(merges)) {
            let alone = try figures([merge])[0]
            #expect(together.1 == alone.1)
            for name in merge.outputs.map(\.name) {
                let (here, there) = (together.0[name], alone.0[name])
                #expect(here.result.squares.bitPattern == there.result.squares.bitPattern)
                #expect(here.inputs.mapValues(\.squares.bitPattern) == there.inputs.mapValues(\.squares.bitPattern))
            }
            #expect(together.0.files.mapValues(\.hash) == alone.0.files.mapValues(\.hash))
        }
    }
}
