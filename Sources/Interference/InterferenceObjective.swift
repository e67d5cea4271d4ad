import Networks
import TensorCore

/// The loss of Resolving Interference for one expert t.
///
///     L = E_x [ dist(h_t f(x; expert), h_t f(x; student))
///               + alpha / (N - 1) * Σ_{j ≠ t} dist(h_j f(x; base), h_j f(x; student)) ]
///
/// Preservation is the first term; interference is the mean over the other heads, without alpha. With one head there is
/// no second term.
///
/// - Source: Ramesh, Stoica, Iyer, Choshen, Hoffman 2026, arXiv:2603.13467.
struct InterferenceObjective: Sendable {
    let bank: HeadBank
    let own: Int
    let alpha: Double
    let distance: Distance
    /// The base under all heads, `[*, K]`.
    let baseLogits: FloatBuffer
    /// The expert under its own head, `[*, classes]`.
    let ownLogits: FloatBuffer

    /// One over the number of other heads; zero where there is none.
    private var share: Double { bank.heads.count > 1 ? 1 / Double(bank.heads.count - 1) : 0 }

    /// Adds up both terms over some inputs and overwrites the gradient of the student's logits.
    ///
    /// - Shapes: `student` and `gradient` `[B, K]`, `slots` `[B]` rows of the teachers' logits.
    /// - Parameter batchSize: the inputs that the loss is averaged over, those of all shards.
    func evaluate(
        student: UnsafePointer<Float>, gradient: UnsafeMutablePointer<Float>, slots: UnsafePointer<Int>, B: Int,
        batchSize: Int
    ) -> LossTerms {
        let K = bank.classCount
        var terms = LossTerms()
        for b in 0..<B {
            for (head, columns) in bank.columns.enumerated() {
                let isOwn = head == own
                let teacher =
                    isOwn
                    ? ownLogits.pointer + slots[b] * columns.count
                    : baseLogits.pointer + slots[b] * K + columns.lowerBound
                let row = b * K + columns.lowerBound
                let value = distance.value(
                    teacher: teacher, student: student + row, K: columns.count, gradient: gradient + row,
                    scale: (isOwn ? 1 : alpha * share) / Double(batchSize))
                if isOwn { terms.preservation += value } else { terms.interference += value * share }
            }
        }
        return terms
    }
}

/// The two terms of the loss, summed over inputs or averaged.
struct LossTerms: Sendable {
    var preservation = 0.0
    var interference = 0.0

    static func += (a: inout LossTerms, b: LossTerms) {
        a.preservation += b.preservation
        a.interference += b.interference
    }

    static func * (terms: LossTerms, factor: Double) -> LossTerms {
        LossTerms(preservation: terms.preservation * factor, interference: terms.interference * factor)
    }
}
