// Karcher mean: the point on the sphere that is nearest to the directions of all models, at their mean length.
//
//     u_i = x_i / ‖x_i‖                              over the whole tensor, for those with ‖x_i‖ > tol
//     m   = Σ u_i / ‖Σ u_i‖;  then up to `max_iter` times:
//     v   = mean over i of φ_i / sin φ_i (u_i − cos φ_i m),   cos φ_i = ⟨u_i, m⟩;   stop when ‖v‖ < tol
//     m   = cos ‖v‖ m + sin ‖v‖ v / ‖v‖
//     θ   = m · mean ‖x_i‖                           the mean over all models, those of no length included
//
// Karcher 1977, "Riemannian center of mass and mollifier smoothing"; for models arXiv:2603.04972, as mergekit 0.1.5 does it.
// m stays in the span of the u_i, so the whole iteration runs on their inner products, in F64: two passes in all.
// A model opposite to m, towards which no direction is the shortest, takes no part in a step.

import Glibc
import TensorCore

struct Karcher: MergeMethod {
    private static let maxIter = ParameterKey("max_iter", default: 10, range: 0...1e6, help: "Steps at most.")
    private static let tolerance = ParameterKey(
        "tol", default: 1e-5, range: 0...1, help: "Ends the steps; angles and lengths up to this count as none.")

    let info = MethodInfo(
        name: "karcher", summary: "Mean of the models on the sphere, at their mean length.",
        paper: "arXiv:2603.04972, after Karcher 1977", needsBase: false,
        parameters: [maxIter, tolerance])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        var rules: [MergeRule] = []
        for tensor in tensors {
            let arguments = try arguments.forTensor(tensor.name)
            let mean = SphericalMean(
                stepCount: try arguments[Self.maxIter], tolerance: try arguments[Self.tolerance])
            let vectors = VectorSet(
                .experts, expertCount: arguments.expertCount, shape: tensor.shape,
                elementCount: tensor.elementCount, layout: .wholeTensor)
            rules.append(.combination(of: vectors) { mean.coefficients(of: $0) })
        }
        return MergeAssignment(rules: rules)
    }
}

private struct SphericalMean {
    let stepCount: Int
    let tolerance: Double

    func coefficients(of vectors: GramMatrix) -> [Double] {
        guard vectors.count > 1 else { return [1] }
        let norms = (0..<vectors.count).map { vectors.norm($0) }
        // With NaN or infinity in a model there is no direction; the mean keeps them in their entries.
        guard norms.allSatisfy(\.isFinite) else { return norms.map { _ in 1 / Double(norms.count) } }
        let meanNorm = norms.reduce(0, +) / Double(norms.count)
        let kept = norms.indices.filter { norms[$0] > tolerance }
        guard !kept.isEmpty else { return norms.map { _ in 0 } }
        let units = unitProducts(of: vectors, kept: kept, norms: norms)
        let mean = iterate(units)
        var result = norms.map { _ in 0.0 }
        for (place, member) in kept.enumerated() { result[member] = mean[place] * meanNorm / norms[member] }
        return result
    }

    private func unitProducts(of vectors: GramMatrix, kept: [Int], norms: [Double]) -> GramMatrix {
        var products: [Double] = []
        for (place, i) in kept.enumerated() {
            for j in kept[place...] { products.append(i == j ? 1 : vectors[i, j] / (norms[i] * norms[j])) }
        }
        return GramMatrix(count: kept.count, products: products)
    }

    /// The mean direction in terms of the unit vectors.
    private func iterate(_ units: GramMatrix) -> [Double] {
        let share = 1 / Double(units.count)
        var mean = Array(repeating: share, count: units.count)
        let length = units.norm(of: mean)
        if length < tolerance || length == 0 {
            mean = (0..<units.count).map { $0 == 0 ? 1 : 0 }
        } else {
            mean = mean.map { $0 / length }
        }
        for _ in 0..<stepCount {
            var step = Array(repeating: 0.0, count: units.count)
            for (i, product) in units.products(with: mean).enumerated() {
                let cosine = min(max(product, -1), 1)
                let angle = acos(cosine)
                let sine = sin(angle)
                guard angle >= tolerance, sine > 1e-12 else { continue }
                step[i] += share * angle / sine
                for k in mean.indices { step[k] -= share * angle / sine * cosine * mean[k] }
            }
            let stride = units.norm(of: step)
            guard stride >= tolerance, stride > 0 else { break }
            for k in mean.indices { mean[k] = cos(stride) * mean[k] + sin(stride) * step[k] / stride }
            let length = units.norm(of: mean)
            if length > 0 { mean = mean.map { $0 / length } }
        }
        return mean
    }
}
