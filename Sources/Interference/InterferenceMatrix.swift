public import Kernels
public import Networks
public import TensorCore

/// The drift that each single expert causes on each other task.
///
/// Entry (i, j) is the mean distance, on task i's inputs under its head, between expert i and `base + tau_i + tau_j`; on the diagonal
/// between expert i and itself, which is 0 but for the cross-entropy.
public struct InterferenceMatrix: Sendable, Hashable {
    public let distance: Distance
    /// `[N][N]`, rows are the tasks that suffer.
    public let entries: [[Figure]]

    /// Measures all pairs, in several distances at once.
    ///
    /// - Shapes: `base` and each of `experts` a parameter vector.
    /// - Cost: N (N - 1) passes over inputs.
    /// - Precondition: experts and references are in one order.
    /// - Returns: a matrix for each distance.
    /// - Throws: `NetworkError` when sizes do not fit or memory is short; what reading a stream throws.
    public static func all(
        _ network: any Network, base: FloatBuffer, experts: [FloatBuffer], references: [ExpertReference],
        distances: [Distance] = [.kl], bootstrap: Bootstrap = Bootstrap(), budget: ComputeBudget
    ) throws -> [InterferenceMatrix] {
        precondition(experts.count == references.count, "every expert has one reference")
        try network.check(parameters: base)
        for expert in experts { try network.check(parameters: expert) }
        let row = [Figure](repeating: Figure(0, 0...0), count: experts.count)
        var entries = distances.map { _ in [[Figure]](repeating: row, count: experts.count) }
        func set(_ i: Int, _ j: Int, _ logits: [Float]) {
            for (place, distance) in distances.enumerated() {
                entries[place][i][j] = Figure(sumOf: [references[i].distances(distance, to: logits)], bootstrap)
            }
        }
        let pair = try FloatBuffer(count: base.count)
        for i in experts.indices {
            set(i, i, references[i].logits)
            for j in experts.indices where j != i {
                let (base, expert, other, sum) = (base.pointer, experts[i].pointer, experts[j].pointer, pair.pointer)
                for n in 0..<pair.count { sum[n] = (expert[n] - base[n]) + other[n] }
                set(i, j, try references[i].data.logits(network, pair, budget))
            }
        }
        return zip(distances, entries).map(InterferenceMatrix.init)
    }
}
