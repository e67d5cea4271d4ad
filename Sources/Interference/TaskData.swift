public import Kernels
public import Networks
public import TensorCore

/// A task with inputs, and labels where there are any.
public struct TaskData: Sendable {
    public let task: TaskHead
    public let inputs: InputSet
    /// The class of each input, `[N]`.
    public let labels: [Int]?

    /// Puts inputs and labels under a task.
    ///
    /// - Throws: `NetworkError` `network.bad_labels` when labels are not one for each input, or lie outside of the head's
    ///   classes.
    public init(task: TaskHead, inputs: InputSet, labels: [Int]? = nil) throws(NetworkError) {
        if let labels {
            guard labels.count == inputs.count else {
                throw NetworkError(
                    .badLabels,
                    "the data of task \"\(task.name)\" has \(inputs.count) inputs but \(labels.count) labels")
            }
            if let index = labels.firstIndex(where: { !(0..<task.head.classCount ~= $0) }) {
                throw NetworkError(
                    .badLabels,
                    "label \(labels[index]) of input \(index) of task \"\(task.name)\" lies outside of the head's "
                        + "\(task.head.classCount) classes")
            }
        }
        self.task = task
        self.inputs = inputs
        self.labels = labels
    }

    /// The logits of a model on these inputs under the task's head, `[N, classes]`.
    func logits(
        _ network: any Network, _ parameters: FloatBuffer, _ budget: ComputeBudget
    ) throws -> [Float] {
        try network.check(task.head, name: task.name)
        return HeadBank([task.head]).logits(
            features: try network.features(parameters: parameters, inputs: inputs, budget: budget))
    }

    /// The class with the largest logit for each input, the first of equals; nil when a logit is NaN or infinite, as when a layer
    /// overflows: the largest of such logits is a class, but not one that the model chose.
    func choices(of logits: [Float]) -> [Int]? {
        guard logits.allSatisfy(\.isFinite) else { return nil }
        let K = task.head.classCount
        return logits.withUnsafeBufferPointer { logits in
            guard let logits = logits.baseAddress else { return [] }
            return (0..<inputs.count).map { indexOfLargest(logits + $0 * K, K) }
        }
    }

    /// Whether the choice for each input is its label; nil without labels, and when a logit is not finite.
    func hits(of logits: [Float]) -> [Bool]? {
        guard let labels, let choices = choices(of: logits) else { return nil }
        return zip(choices, labels).map(==)
    }

    /// The share of hits; nil without labels, NaN when logits are not finite.
    func accuracy(of logits: [Float]) -> Double? {
        guard labels != nil else { return nil }
        guard let hits = hits(of: logits) else { return .nan }
        return Double(hits.count { $0 }) / Double(hits.count)
    }
}

/// The accuracy of a backbone under one task's head.
public struct TaskAccuracy: Sendable, Hashable {
    public let name: String
    /// Between 0 and 1; NaN when the logits are not finite.
    public let accuracy: Double
    public let samples: Int
}

/// Measures the accuracy of a parameter vector under the heads of labelled tasks.
///
/// - Throws: `NetworkError` `network.bad_labels` when a task has no labels; others when sizes do not fit; what reading a stream throws.
public func evaluate(
    _ network: any Network, parameters: FloatBuffer, tasks: [TaskData], budget: ComputeBudget
) throws -> [TaskAccuracy] {
    var results: [TaskAccuracy] = []
    for data in tasks {
        guard let accuracy = data.accuracy(of: try data.logits(network, parameters, budget)) else {
            throw NetworkError(.badLabels, "the data of task \"\(data.task.name)\" has no labels")
        }
        results.append(TaskAccuracy(name: data.task.name, accuracy: accuracy, samples: data.inputs.count))
    }
    return results
}
