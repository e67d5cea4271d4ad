import Kernels

/// The nonlinearity of the MLP, by the names of timm and Hugging Face.
public enum Activation: String, Sendable, Encodable, CaseIterable {
    /// `x Φ(x)`; Hugging Face `gelu`.
    case gelu
    /// `x σ(2 √(2/π) (x + 0.044715 x³))`, which is the tanh form; Hugging Face `gelu_pytorch_tanh` and `gelu_new`.
    case geluTanh = "gelu_tanh"
    /// `x σ(1.702 x)`, as the published CLIP models were trained with.
    case quickGELU = "quick_gelu"
    /// `max(x, 0)`, whose derivative at 0 is taken as 0.
    case relu
}

/// Applies the activation in place and stores its derivative, so that the backward pass needs no transcendental.
///
/// - Shapes: `x` and `slope` `[N]`.
/// - Source: Hendrycks, Gimpel 2016, arXiv:1606.08415.
package func activationForward(
    _ x: UnsafeMutablePointer<Float>, slope: UnsafeMutablePointer<Float>, N: Int, _ activation: Activation
) {
    switch activation {
    case .gelu:
        for i in 0..<N {
            let v = x[i]
            let (probability, bell) = normalDistribution(v)
            slope[i] = probability + v * bell * 0.398_942_28
            x[i] = v * probability
        }
    case .geluTanh:
        for i in 0..<N {
            let v = x[i]
            let square = v * v
            let (gate, rest) = logistic(1.595_769_1 * v * (1 + 0.044_715 * square))
            let inner = 1.595_769_1 * (1 + 0.134_145 * square)
            slope[i] = gate + v * gate * rest * inner
            x[i] = v * gate
        }
    case .quickGELU:
        for i in 0..<N {
            let v = x[i]
            let (gate, rest) = logistic(1.702 * v)
            slope[i] = gate + 1.702 * v * gate * rest
            x[i] = v * gate
        }
    case .relu:
        for i in 0..<N {
            slope[i] = x[i] > 0 ? 1 : 0
            x[i] = x[i] > 0 ? x[i] : 0
        }
    }
}

/// Multiplies a gradient in place by the stored derivative.
///
/// - Shapes: `dOut` (becoming `dx`) and `slope` `[N]`.
package func activationBackward(_ dOut: UnsafeMutablePointer<Float>, slope: UnsafePointer<Float>, N: Int) {
    for i in 0..<N { dOut[i] *= slope[i] }
}
