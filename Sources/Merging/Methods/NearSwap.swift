// NearSwap: moves from the base to another model, the further the closer both are.
//
//     a = clamp(t / |θ₀ − θ₁|, 0, 1),   θ = a θ₁ + (1 − a) θ₀      element by element; |θ₀ − θ₁| at least 10⁻⁶
//
// A method of mergekit without a paper (Charles O. Goddard et al. 2024, "Arcee's MergeKit", arXiv:2403.13257). Differences up
// to t are taken over whole. One pass.

import Kernels
import TensorCore

struct NearSwap: MergeMethod {
    private static let t = ParameterKey(
        "t", default: 0.001, range: 0...Double.greatestFiniteMagnitude,
        help: "Differences up to this are taken over whole, larger ones in part.")

    let info = MethodInfo(
        name: "nearswap", summary: "Moves from the base to one model, most where they are close.",
        paper: "mergekit: Goddard et al. 2024, arXiv:2403.13257", needsBase: true, expertCounts: 1...1,
        parameters: [t])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            rules.append(.elementwise(NearnessInterpolation(t: try arguments.forTensor(tensor.name)[Self.t])))
        }
        return MergeAssignment(rules: rules)
    }
}

/// a θ₁ + (1 − a) θ₀ with a = min(t / |θ₀ − θ₁|, 1).
struct NearnessInterpolation: ElementwiseRule {
    let t: Double

    func scratchRowCount(expertCount: Int) -> Int { 2 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let base = block.row(0)
        let other = block.row(1)
        block.readBase(into: base)
        block.readExpert(0, into: other)
        let t = T(t)
        for i in 0..<block.count {
            let distance = abs(base[i] - other[i])
            // NaN compares false and stays NaN in the ratio.
            let share = t / (distance < 1e-6 ? 1e-6 : distance)
            let bounded = share > 1 ? 1 : share
            // Equal infinities have no distance.
            block.result[i] =
                base[i] == other[i] ? base[i] : bounded * other[i] + (1 - bounded) * base[i]
        }
    }
}
