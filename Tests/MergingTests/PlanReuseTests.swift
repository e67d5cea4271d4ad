import Checkpoints
import Kernels
import Merging
import TensorCore
import Testing

/// A plan is a value: what one execution finds out is no part of it.
@Suite("plans") struct PlanReuseTests {
    /// What makes methods survey their inputs, where they do not by default.
    static let settings: [String: ParameterValue] = [
        "density": .number(0.4), "epsilon": .number(0.2), "gamma": .number(0.1), "select_topk": .number(0.3),
        "rescale": .flag(true), "filter_wise": .flag(true),
        "weight": .list([.number(0.7), .number(1.1), .number(0.4)]),
    ]

    static let cases: [(method: String, values: [String: ParameterValue])] =
        RegistryTests.names.map { name in (name, settings.filter { RegistryTests.has($0.key, name) }) }
        + [("ties", ["density": .number(0.4), "trim_scope": .text("model")])]

    @Test("a plan gives the same bytes however often it is executed, also at once", arguments: cases)
    func reuse(method: String, values: [String: ParameterValue]) throws {
        let count = RegistryTests.expertCount(try RegistryTests.info(method))
        let values = values.mapValues { value -> ParameterValue in
            if case .list(let numbers) = value { .list(Array(numbers.prefix(count))) } else { value }
        }
        let base = try RegistryTests.model(seed: 2, scale: 0)
        let experts = try (0..<count).map { (name: "expert", store: try RegistryTests.model(seed: UInt64(3 + $0))) }
        let parameters = try RegistryTests.needs(method, experts: count, values)
        func plan(threads: Int) throws -> MergePlan {
            try MergePlan(
                method: try MergeMethods.named(method), base: base, experts: experts, parameters: parameters,
                budget: ComputeBudget(threads: threads))
        }
        let twoThreads = try plan(threads: 2)
        let first = try Self.bytes(twoThreads)
        #expect(try Self.bytes(twoThreads) == first)
        for bytes in try parallelMap(count: 4, threads: 4, { _ in try Self.bytes(twoThreads) }) {
            #expect(bytes == first)
        }
        #expect(try Self.bytes(try plan(threads: 5)) == first)
    }

    private static func bytes(_ plan: MergePlan) throws -> [UInt8] {
        let writer = try MemoryCheckpointWriter(declaring: plan.outputs)
        _ = try plan.execute(into: writer)
        _ = try writer.finish()
        return try TensorStore(try #require(writer.checkpoint)).allBytes()
    }
}
