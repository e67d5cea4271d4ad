/// A frozen linear classifier on a backbone's feature: `logits = logitScale * W f + bias`.
public struct ClassificationHead: Sendable, Hashable {
    /// `[classCount, width]`, row-major.
    public let weight: [Float]
    /// `[classCount]`, zeros where the head has none.
    public let bias: [Float]
    public let classCount: Int
    /// The width of the feature.
    public let width: Int
    /// The factor itself, not its logarithm.
    public let logitScale: Float
    /// Whether the feature is divided by its Euclidean norm first, as CLIP does.
    public let normalizesFeature: Bool

    /// Makes a head of its weights.
    ///
    /// - Parameters:
    ///   - name: what error messages call the head.
    ///   - classCount: the first dimension of `weight`.
    /// - Throws: `NetworkError` `network.bad_head` when the parts do not fit each other or a number is not finite.
    public init(
        name: String, weight: [Float], classCount: Int, bias: [Float]? = nil, logitScale: Float = 1,
        normalizesFeature: Bool = false
    ) throws(NetworkError) {
        guard classCount > 0, !weight.isEmpty, weight.count % classCount == 0 else {
            throw NetworkError(
                .badHead, "the weight of head \"\(name)\" has \(weight.count) numbers for \(classCount) classes")
        }
        guard bias == nil || bias?.count == classCount else {
            throw NetworkError(
                .badHead,
                "the bias of head \"\(name)\" has \(bias?.count ?? 0) numbers, but its weight has \(classCount) classes"
            )
        }
        guard logitScale.isFinite, weight.allSatisfy(\.isFinite), (bias ?? []).allSatisfy(\.isFinite) else {
            throw NetworkError(.badHead, "head \"\(name)\" holds a number that is not finite")
        }
        self.weight = weight
        self.bias = bias ?? [Float](repeating: 0, count: classCount)
        self.classCount = classCount
        width = weight.count / classCount
        self.logitScale = logitScale
        self.normalizesFeature = normalizesFeature
    }
}
