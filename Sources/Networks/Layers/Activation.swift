import CKernels
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

/// Overwrites `out` with the activation of `x`.
///
/// - Shapes: `x` and `out` `[N]`, apart from each other.
/// - Source: Hendrycks, Gimpel 2016, arXiv:1606.08415.
package func activationForward(
    _ out: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, N: Int, _ activation: Activation
) {
    share(rows: N, grain: grain(N)) { range in
        let (out, x, count) = (out + range.lowerBound, x + range.lowerBound, range.count)
        switch activation {
        case .gelu: untangle_gelu(out, x, count)
        case .geluTanh: untangle_gelu_tanh(out, x, count)
        case .quickGELU: untangle_quick_gelu(out, x, count)
        case .relu: untangle_relu(out, x, count)
        }
    }
}

/// Multiplies a gradient in place by the activation's derivative, which is cheaper to compute again than to keep.
///
/// - Shapes: `dOut` (becoming `dx`) and `x` `[N]`.
package func activationBackward(
    _ dOut: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, N: Int, _ activation: Activation
) {
    share(rows: N, grain: grain(N)) { range in
        let (dOut, x, count) = (dOut + range.lowerBound, x + range.lowerBound, range.count)
        switch activation {
        case .gelu: untangle_gelu_gradient(dOut, x, count)
        case .geluTanh: untangle_gelu_tanh_gradient(dOut, x, count)
        case .quickGELU: untangle_quick_gelu_gradient(dOut, x, count)
        case .relu: untangle_relu_gradient(dOut, x, count)
        }
    }
}

/// The numbers that a thread takes at a time: 128 KiB of them, or all where there is no team.
private func grain(_ count: Int) -> Int { Team.size > 1 ? 1 << 15 : max(count, 1) }
