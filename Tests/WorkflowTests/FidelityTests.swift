import Checkpoints
import Interference
import Merging
import SystemPackage
import TensorCore
import Testing
import Work
import TestSupport
import Workflow

/// The whole recipe on a suite of images and one of texts against the independent PyTorch reference: 250 steps of 64 inputs for each
/// expert, then every method with and without.
///
/// Tolerances are those of two correct implementations whose rounding differs over 2,000 steps: a point of mean accuracy is 24
/// images of 2,400.
@Suite struct FidelityTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let suite: String
        let auxiliary: String
        /// The methods of which the reference says that RI helps.
        let gains: Set<String>
        var testDescription: String { suite }
    }

    @Test(arguments: [
        Case(suite: "eight-tasks", auxiliary: "aux_mixed.npz", gains: ["task_arithmetic", "ties", "tsv_m"]),
        Case(
            suite: "text", auxiliary: "aux_emoji.npz",
            gains: ["average", "task_arithmetic", "ties", "tsv_m", "iso_c"]),
    ])
    func agreesWithTheReference(_ test: Case) throws {
        let suite = try PipelineSuite(test.suite)
        let fixture = try SuiteFixture(test.suite)
        let main = try #require(try fixture.json("reference.json")["main"])
        func mean(_ key: String) throws -> Double {
            let values = try #require(main[key]?.array).compactMap(\.double)
            return values.reduce(0, +) / Double(values.count)
        }
        func points(_ accuracies: [Double?]) throws -> Double {
            100 * (try accuracies.map { try #require($0) }.reduce(0, +)) / Double(accuracies.count)
        }
        let set = try suite.set()
        let options = ResolverOptions(
            steps: try #require(main["hyperparameters"]?["steps"]?.int),
            batchSize: try #require(main["hyperparameters"]?["bs"]?.int),
            learningRate: try #require(main["hyperparameters"]?["lr"]?.double))
        #expect((options.steps, options.batchSize, options.learningRate) == (250, 64, 1e-4))
        let adapted = try ResolveJob(
            set, auxiliary: .file(suite.path(test.auxiliary)), options: options, output: nil
        ).run(in: testContext)
        let measure = try TaskMeasurement(set, budget: testBudget)

        let base = try points(measure.tasks.map(\.baseAccuracy)),
            expert = try points(measure.tasks.map(\.expertAccuracy))
        #expect(abs(base - 100 * (try mean("base_acc"))) < 0.05)
        #expect(abs(expert - 100 * (try mean("expert_acc"))) < 0.05)
        var own: [Double] = []
        for (index, expert) in adapted.enumerated() {
            own.append(try #require(try measure.measure(expert.store).tasks[index].mergedAccuracy))
        }
        #expect(abs(try points(own) - 100 * (try mean("adapted_expert_acc"))) < 1.5)

        let methods: [(name: String, key: String, parameters: [String: ParameterValue])] = [
            ("average", "average", [:]), ("task_arithmetic", "task_arithmetic", ["lambda": .number(0.3)]),
            ("ties", "ties", ["trim_scope": .text("model"), "density": .number(0.2)]), ("tsv_m", "tsvm", [:]),
            ("iso_c", "iso_c", [:]),
        ]
        for method in methods {
            var measured: [Double] = [], expected: [Double] = []
            for (key, experts) in [
                ("without_ri", set.experts.map { (name: $0.name, store: $0.store) }),
                ("with_ri_final", adapted.map { (name: $0.name, store: $0.store) }),
            ] {
                let merged = try MergeJob(
                    method: method.name, base: set.base, experts: experts,
                    parameters: MergeParameters(method.parameters), in: testContext
                ).merged().store
                let result = try measure.measure(merged)
                let reference = try #require(main[key]?[method.key]?["fixed"])
                let total = try #require(reference["sum_xi"]?.double)
                #expect(abs(result.total - total) < 0.03 * total, "interference of \(method.name) \(key)")
                measured.append(try points(result.tasks.map(\.mergedAccuracy)))
                expected.append(100 * (try #require(reference["mean_acc"]?.double)))
                #expect(abs(measured.last! - expected.last!) < 1, "accuracy of \(method.name) \(key)")
            }
            let (gain, reference) = (measured[1] - measured[0], expected[1] - expected[0])
            if test.gains.contains(method.name) { #expect(abs(gain - reference) < 1.5, "gain of \(method.name)") }
        }
    }
}
