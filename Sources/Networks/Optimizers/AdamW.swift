import CKernels
import Glibc

/// Adam with decoupled weight decay, step for step as PyTorch computes it.
///
///     theta -= lr * weightDecay * theta
///     m += (1 - beta1) (g - m);   v = beta2 v + (1 - beta2) g²
///     theta -= lr / (1 - beta1^t) * m / (√v / √(1 - beta2^t) + eps)
///
/// - Source: Loshchilov, Hutter 2017, arXiv:1711.05101; defaults of `torch.optim.AdamW`.
public struct AdamW: Sendable, Hashable {
    public var beta1: Double
    public var beta2: Double
    public var eps: Double
    public var weightDecay: Double

    public init(beta1: Double = 0.9, beta2: Double = 0.999, eps: Double = 1e-8, weightDecay: Double) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps
        self.weightDecay = weightDecay
    }

    /// Whether steps leave a parameter to the bit as it is whose gradient is always zero: the decay of its weight is less than rounding.
    ///
    /// - Parameter learningRate: the largest of all steps.
    package func leavesUnused(learningRate: Double) -> Bool { kept(learningRate) == 1 }

    /// What weight decay leaves of a parameter.
    private func kept(_ learningRate: Double) -> Float { Float(1 - learningRate * weightDecay) }

    /// Updates a stretch of parameters and of both moments.
    ///
    /// - Shapes: all `[N]`; the moments start at zero.
    /// - Parameter step: the number of the step, from 1.
    /// - Returns: whether the gradient is finite.
    package func update(
        _ theta: UnsafeMutablePointer<Float>, gradient: UnsafePointer<Float>,
        firstMoment m: UnsafeMutablePointer<Float>,
        secondMoment v: UnsafeMutablePointer<Float>, N: Int, step: Int, learningRate: Double
    ) -> Bool {
        // Scalars in double precision and rounded once, as PyTorch's.
        untangle_adamw(
            theta, gradient, m, v, N,
            untangle_adamw_step(
                keep_theta: kept(learningRate), take_first: Float(1 - beta1),
                keep_second: Float(beta2), take_second: Float(1 - beta2),
                size: Float(learningRate / (1 - pow(beta1, Double(step)))),
                correction: Float((1 - pow(beta2, Double(step))).squareRoot()), eps: Float(eps))) == 0
    }
}
