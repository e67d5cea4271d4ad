import Checkpoints
import Interference
import Kernels
import Networks
import TensorCore
import TestSupport
import Testing

/// Against the results of `Fixtures/suites/tiny/reference.json`.
@Suite("cross-task interference") struct CrossTaskInterferenceTests {
    let suite: Suite
    let main: JSONValue
    let experts: [FloatBuffer]
    let references: [ExpertReference]
    let budget = ComputeBudget(threads: 2)

    init() throws {
        let suite = try Suite("tiny")
        self.suite = suite
        main = try #require(try suite.fixture.json("reference.json")["main"])
        let experts = try suite.heads.map { try suite.expert($0.name) }
        self.experts = experts
        references = try suite.heads.indices.map { [budget] in
            try ExpertReference(suite.transformer, expert: experts[$0], data: try suite.data($0), budget: budget)
        }
    }

    @Test("task arithmetic of the original experts")
    func taskArithmetic() throws {
        let reference = try #require(main["without_ri"]?["task_arithmetic"]?["fixed"])
        let lambda = Float(try #require(reference["lam"]?.double))
        let merged = try FloatBuffer(suite.base.values)
        for index in 0..<merged.count {
            merged.values[index] += lambda * experts.reduce(0) { $0 + ($1.values[index] - suite.base.values[index]) }
        }
        let measured = try CrossTaskInterference(
            suite.transformer, merged: merged, references: references, budget: budget)
        let xi = reference["xi"]?.array?.compactMap(\.double) ?? []
        let accuracies = reference["acc"]?.array?.compactMap(\.double) ?? []
        try #require(xi.count == 4 && accuracies.count == 4)
        for (index, task) in measured.tasks.enumerated() {
            #expect(abs(task.interference - xi[index]) < 1e-4, "\(task.name)")
            #expect(abs((task.mergedAccuracy ?? -1) - accuracies[index]) < 1e-6, "\(task.name)")
            #expect(task.samples == 250)
        }
        #expect(abs(measured.total - (try #require(reference["sum_xi"]?.double))) < 2e-4)
    }

    @Test("accuracies of base and experts")
    func accuracies() throws {
        let baseAccuracies = main["base_acc"]?.array?.compactMap(\.double) ?? []
        let expertAccuracies = main["expert_acc"]?.array?.compactMap(\.double) ?? []
        let measured = try evaluate(
            suite.transformer, parameters: suite.base, tasks: references.map(\.data), budget: budget)
        #expect(measured.map(\.accuracy) == baseAccuracies)
        #expect(references.map(\.accuracy) == expertAccuracies)
    }

    @Test("a model that is the expert does not interfere with it")
    func identity() throws {
        let own = try CrossTaskInterference(
            suite.transformer, merged: experts[0], references: [references[0]], budget: budget)
        #expect(own.total == 0)
    }

    @Test("an entry of the matrix is the interference of the pair's sum")
    func matrix() throws {
        let matrix = try InterferenceMatrix.all(
            suite.transformer, base: suite.base, experts: Array(experts.prefix(2)),
            references: Array(references.prefix(2)), budget: budget
        )[0].entries.map { $0.map(\.value) }
        let pair = try FloatBuffer(suite.base.values)
        for n in 0..<pair.count {
            let base = suite.base.values[n]
            pair.values[n] += (experts[0].values[n] - base) + (experts[1].values[n] - base)
        }
        let sum = try CrossTaskInterference(
            suite.transformer, merged: pair, references: Array(references.prefix(2)), budget: budget)
        #expect(matrix[0][0] == 0 && matrix[1][1] == 0)
        #expect(abs(matrix[0][1] - sum.tasks[0].interference) < 1e-4)
        #expect(abs(matrix[1][0] - sum.tasks[1].interference) < 1e-4)
        #expect(matrix[0][1] > 0.01)
    }

    @Test("a model whose logits overflow has neither distance nor accuracy", arguments: Distance.allCases)
    func overflow(distance: Distance) throws {
        // Finite weights of a final norm that no product stays finite with.
        let norm = try #require(suite.transformer.layout["norm.weight"])
        let broken = try FloatBuffer(suite.base.values)
        for place in norm.range { broken.values[place] = 3e38 }
        let data = try suite.data(0)
        let whole = try ExpertReference(suite.transformer, expert: suite.base, data: data, budget: budget)
        let merged = try CrossTaskInterference(
            suite.transformer, merged: broken, references: [whole], distance: distance, budget: budget)
        #expect(merged.total.isNaN && merged.tasks[0].interference.isNaN)
        #expect(merged.tasks[0].mergedAccuracy?.isNaN == true)
        #expect(merged.tasks[0].expertAccuracy.map { $0 > 0 && $0 <= 1 } == true)
        let reference = try ExpertReference(suite.transformer, expert: broken, data: data, budget: budget)
        #expect(reference.accuracy?.isNaN == true)
        let found = try CrossTaskInterference(
            suite.transformer, merged: suite.base, references: [reference], distance: distance, budget: budget)
        #expect(found.total.isNaN)
        #expect(
            try evaluate(suite.transformer, parameters: broken, tasks: [data], budget: budget)[0].accuracy.isNaN)
    }

    @Test("labels outside of the head or of another number are refused")
    func labels() throws {
        let inputs = try suite.images("test_digits.npz", limit: 2)
        for labels in [[0], [0, 99], [-1, 0]] {
            let error = #expect(throws: NetworkError.self) {
                try TaskData(task: suite.heads[1], inputs: inputs, labels: labels)
            }
            #expect(error?.code == "network.bad_labels")
        }
        let unlabelled = try TaskData(task: suite.heads[1], inputs: inputs)
        #expect(throws: NetworkError.self) {
            try evaluate(suite.transformer, parameters: suite.base, tasks: [unlabelled], budget: budget)
        }
    }
}
