public import Kernels
public import Networks
public import TensorCore

/// What an expert says on its own task's inputs: the fixed side of every interference measure.
///
/// Made once per expert, so that many merged models can be measured without holding the experts in memory.
public struct ExpertReference: Sendable {
    public let data: TaskData
    /// The accuracy of the expert, where labels exist.
    public let accuracy: Double?
    /// `[N, featureSize]`.
    let features: [Float]
    /// `[N, classes]`.
    let logits: [Float]

    /// Computes the outputs of an expert on its own task.
    ///
    /// - Parameter expert: the original expert's parameters, also where adapted experts were merged.
    /// - Throws: `NetworkError` when sizes do not fit or memory is short; what reading a stream throws.
    public init(
        _ network: any Network, expert: FloatBuffer, data: TaskData, budget: ComputeBudget
    ) throws {
        self.data = data
        try network.check(data.task.head, name: data.task.name)
        features = try network.features(parameters: expert, inputs: data.inputs, budget: budget)
        logits = HeadBank([data.task.head]).logits(features: features)
        accuracy = data.accuracy(of: logits)
    }

    /// The distances from the expert to a model with the given logits on the same inputs, `[N]`.
    func distances(_ distance: Distance, to student: [Float]) -> [Double] {
        let K = data.task.head.classCount
        return logits.withUnsafeBufferPointer { teacher in
            student.withUnsafeBufferPointer { student in
                guard let teacher = teacher.baseAddress, let student = student.baseAddress else { return [] }
                return (0..<data.inputs.count).map { n in
                    distance.value(teacher: teacher + n * K, student: student + n * K, K: K)
                }
            }
        }
    }

    /// How a model with the given logits on the same inputs does.
    func outcomes(_ distance: Distance, of student: [Float]) -> SampleOutcomes {
        SampleOutcomes(distances: distances(distance, to: student), hits: data.hits(of: student))
    }
}
