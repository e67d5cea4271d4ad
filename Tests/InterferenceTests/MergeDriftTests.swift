import Interference
import Kernels
import Networks
import TensorCore
import Testing

/// Against the features and logits of base and expert `digits` that PyTorch computed for the first 16 test images of digits:
/// `Fixtures/suites/tiny/parity_reference.safetensors`, put into figures with NumPy in float64.
@Suite("drift of a merge") struct MergeDriftTests {
    let suite: Suite
    let budget = ComputeBudget(threads: 2)

    init() throws { suite = try Suite("tiny") }

    private func reference(_ limit: Int = .max, labelled: Bool = true) throws -> ExpertReference {
        let images = try suite.images("test_digits.npz", limit: limit)
        let labels = try suite.fixture.labels("test_digits.npz").prefix(images.count)
        return try ExpertReference(
            suite.transformer, expert: try suite.expert("digits"),
            data: try TaskData(task: suite.heads[1], inputs: images, labels: labelled ? Array(labels) : nil),
            budget: budget)
    }

    @Test("all distances, the agreement and the similarity of one forward pass")
    func figures() throws {
        let drift = try MergeDrift(
            suite.transformer, merged: suite.base, references: [try reference(16, labelled: false)],
            distances: Distance.allCases, budget: budget)
        #expect(drift.distances.map(\.rawValue) == ["kl", "reverse_kl", "cross_entropy", "mse"])
        let task = drift.tasks[0]
        for (figure, expected) in zip(
            task.interference, [0.6227036011164608, 1.8461808336179741, 0.7261961073567703, 13.538127909923592])
        {
            #expect(abs(figure.value / expected - 1) < 1e-4)
            #expect(figure.interval?.contains(expected) == true)
        }
        #expect(drift.totals == task.interference)
        #expect(task.agreement.value == 0.75)
        #expect(task.samples == 16)
        // The derivative of ln(CKA / (1 - CKA)) by the weight of each input was taken numerically.
        let similarity = try #require(task.similarity)
        let interval = try #require(similarity.interval)
        #expect(abs(similarity.value - 0.8120973489254895) < 1e-5)
        #expect(abs(interval.lowerBound - 0.7402755940740381) < 1e-4)
        #expect(abs(interval.upperBound - 0.8676100882628511) < 1e-4)
        #expect(task.expertAccuracy == nil && drift.mergedAccuracy == nil)
    }

    @Test("a merge that is the expert agrees with it in everything")
    func identity() throws {
        let drift = try MergeDrift(
            suite.transformer, merged: try suite.expert("digits"), references: [try reference()], budget: budget)
        let task = drift.tasks[0]
        #expect(task.interference[0].value == 0 && task.interference[0].interval == 0...0)
        // Wilson's lower end for all of 250 is 250 / (250 + 1.96²).
        #expect(task.agreement.value == 1 && task.agreement.interval?.upperBound == 1)
        #expect(abs((task.agreement.interval?.lowerBound ?? 0) - 0.984866) < 1e-5)
        #expect(abs((task.similarity?.value ?? 0) - 1) < 1e-12)
        #expect(task.expertAccuracy == task.mergedAccuracy)
        #expect(task.expertAccuracy?.value == 0.928)
    }

    @Test("figures that are not finite have no interval")
    func overflow() throws {
        let norm = try #require(suite.transformer.layout["norm.weight"])
        let broken = try FloatBuffer(suite.base.numbers)
        for place in norm.range { broken.pointer[place] = 3e38 }
        let drift = try MergeDrift(suite.transformer, merged: broken, references: [try reference(8)], budget: budget)
        let task = drift.tasks[0]
        for figure in [task.interference[0], task.agreement, try #require(task.mergedAccuracy), drift.totals[0]] {
            #expect(figure.value.isNaN && figure.interval == nil)
        }
        #expect(task.expertAccuracy?.interval != nil)
        #expect(task.similarity == nil || task.similarity?.value.isNaN == true)
    }

    @Test("features that do not vary have no similarity")
    func constantFeatures() throws {
        // A final norm of weight 0 puts its bias in the place of every feature.
        let norm = try #require(suite.transformer.layout["norm.weight"])
        let constant = try FloatBuffer(suite.base.numbers)
        for place in norm.range { constant.pointer[place] = 0 }
        let drift = try MergeDrift(suite.transformer, merged: constant, references: [try reference(8)], budget: budget)
        #expect(drift.tasks[0].similarity == nil)
        #expect(drift.tasks[0].interference[0].value > 0)
    }

    /// The inputs of a task are taken for all inputs there are, and other test sets of as many are drawn from them: 500 intervals of each
    /// task and of the total, of which 95 in 100 should hold the value of all. The standard error of the share of totals is 1 point.
    @Test("intervals hold the value of the population as often as they say")
    func coverage() throws {
        let tasks = try suite.heads.indices.map { place in
            let reference = try ExpertReference(
                suite.transformer, expert: try suite.expert(suite.heads[place].name), data: try suite.data(place),
                budget: budget)
            return try CrossTaskInterference(
                suite.transformer, merged: suite.base, references: [reference], budget: budget
            ).outcomes[0].distances
        }
        func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
        let means = tasks.map(mean)
        let trials = 500
        var (taskHits, totalHits) = ([0, 0, 0, 0], 0)
        for trial in 0..<trials {
            let drawn = tasks.enumerated().map { place, values in
                let generator = CounterGenerator(seed: 7, stream: UInt64(4 * trial + place))
                return values.indices.map { values[generator.below(values.count, UInt64($0))] }
            }
            let bootstrap = Bootstrap(seed: UInt64(trial))
            for place in tasks.indices {
                let interval = try #require(bootstrap.interval(of: [drawn[place]], .distances, isMean: false))
                taskHits[place] += interval.contains(means[place]) ? 1 : 0
            }
            let total = try #require(bootstrap.interval(of: drawn, .distances, isMean: false))
            totalHits += total.contains(means.reduce(0, +)) ? 1 : 0
        }
        let share = Double(taskHits.reduce(0, +)) / Double(4 * trials)
        #expect((0.93...0.97).contains(share), "\(taskHits)")
        #expect((0.93...0.97).contains(Double(totalHits) / Double(trials)), "\(totalHits)")
    }
}
