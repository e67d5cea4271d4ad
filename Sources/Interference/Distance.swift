import Glibc
import Kernels

/// How far a student's logits are from a teacher's, for one input and one head.
///
/// With p the softmax of the teacher's logits t, q that of the student's z, both divided by their temperatures before, and K classes:
public enum Distance: String, Sendable, CaseIterable {
    /// `KL(p || q) = Σ p (log p - log q)`, the paper's choice.
    case kl
    /// `KL(q || p)`.
    case reverseKL = "reverse_kl"
    /// `-log q` of the teacher's largest logit, the first of equals.
    case crossEntropy = "cross_entropy"
    /// `Σ (z - t)² / K`.
    case mse

    /// The distance of one input; NaN, like the gradient, when a logit is NaN or infinite, as when a layer overflows.
    ///
    /// Works in double precision: logits are few beside activations, and the preservation term starts as a difference of
    /// equal numbers.
    ///
    /// - Shapes: `teacher`, `student` and `gradient` `[K]`.
    /// - Parameters:
    ///   - temperatures: what the logits are divided by.
    ///   - gradient: overwritten with `scale` times the derivative by the student's logits.
    ///   - scale: the weight of this term in the loss.
    package func value(
        teacher: UnsafePointer<Float>, student: UnsafePointer<Float>, K: Int,
        temperatures: Temperatures = Temperatures(), gradient: UnsafeMutablePointer<Float>? = nil, scale: Double = 1
    ) -> Double {
        // The largest of such logits would pass for the teacher's choice, and infinities for certainty.
        guard isFinite(teacher, count: K), isFinite(student, count: K) else {
            gradient?.update(repeating: .nan, count: K)
            return .nan
        }
        let (T, S) = (temperatures.teacher, temperatures.student)
        // The derivative by a logit is that by the quotient, divided once more.
        let scale = scale / S
        switch self {
        case .kl:
            let (p, q) = (LogSoftmax(teacher, K, T), LogSoftmax(student, K, S))
            var sum = 0.0
            for k in 0..<K {
                let (logP, logQ) = (p[k], q[k])
                let share = exp(logP)
                sum += share * (logP - logQ)
                gradient?[k] = Float(scale * (exp(logQ) - share))
            }
            return sum
        case .reverseKL:
            let (p, q) = (LogSoftmax(teacher, K, T), LogSoftmax(student, K, S))
            var sum = 0.0
            for k in 0..<K { sum += exp(q[k]) * (q[k] - p[k]) }
            if let gradient {
                for k in 0..<K { gradient[k] = Float(scale * exp(q[k]) * (q[k] - p[k] - sum)) }
            }
            return sum
        case .crossEntropy:
            let target = indexOfLargest(teacher, K)
            let q = LogSoftmax(student, K, S)
            if let gradient {
                for k in 0..<K { gradient[k] = Float(scale * (exp(q[k]) - (k == target ? 1 : 0))) }
            }
            return -q[target]
        case .mse:
            var sum = 0.0
            for k in 0..<K {
                let difference = Double(student[k]) / S - Double(teacher[k]) / T
                sum += difference * difference
                gradient?[k] = Float(scale * 2 * difference / Double(K))
            }
            return sum / Double(K)
        }
    }
}

/// The logarithms of a softmax of logits over a temperature, on demand.
private struct LogSoftmax {
    private let logits: UnsafePointer<Float>
    private let temperature: Double
    private let normaliser: Double

    init(_ logits: UnsafePointer<Float>, _ K: Int, _ temperature: Double) {
        self.logits = logits
        self.temperature = temperature
        let largest = Double(logits[indexOfLargest(logits, K)]) / temperature
        var sum = 0.0
        for k in 0..<K { sum += exp(Double(logits[k]) / temperature - largest) }
        normaliser = largest + log(sum)
    }

    subscript(k: Int) -> Double { Double(logits[k]) / temperature - normaliser }
}

/// The position of the largest number, the first of equals.
func indexOfLargest(_ x: UnsafePointer<Float>, _ count: Int) -> Int {
    var best = 0
    for i in 1..<max(count, 1) where x[i] > x[best] { best = i }
    return best
}
