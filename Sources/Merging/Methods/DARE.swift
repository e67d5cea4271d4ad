// DARE: drops entries of the task vectors at random and scales up the rest.
//
//     τ̂_i = m_i τ_i · ‖τ_i‖₁ / ‖m_i τ_i‖₁        m_i is 1 with probability `density`, entry by entry
//     dare_linear   θ = θ₀ + λ Σ w_i τ̂_i          divided by Σ w_i when `normalize` is true
//     dare_ties     the same over the entries whose sign is that of the sum; see `ties`
//
// Yu et al. 2023, "Language models are Super Mario", arXiv:2311.03099, with the rescaling of mergekit 0.1.5: over the tensor
// to the sum of magnitudes that was there, where the paper divides by `density`, which is the same on average. The paper
// recommends a density of 0.1 for fine-tuned language models. Random numbers depend on `seed`, the tensor's name, the place
// of the expert and the place of the entry, on nothing else. One pass, two with a density below 1.

import Kernels
import TensorCore

struct DARE: MergeMethod {
    let info: MethodInfo
    private let isElecting: Bool

    static let linear = DARE(
        "dare_linear", "Sum of the task vectors after dropping entries at random.", isElecting: false)
    static let ties = DARE("dare_ties", "TIES with entries dropped at random instead of by size.", isElecting: true)

    private init(_ name: String, _ summary: String, isElecting: Bool) {
        self.isElecting = isElecting
        info = MethodInfo(
            name: name, summary: summary, paper: "Yu et al. 2023, arXiv:2311.03099", needsBase: true,
            parameters: [
                ExpertParameterKey.weight,
                ExpertParameterKey.density.with(help: "Probability with which an entry of a task vector is kept."),
                ParameterKey.normalize, ParameterKey.rescale.with(default: true), ParameterKey.lambda,
                ParameterKey.seed,
            ])
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try SparseTaskVectorSum.assign(tensors, arguments: arguments, isElecting: isElecting) {
            (tensor, arguments) throws(MergeError) in
            let mask = RandomMask(
                densities: try arguments[.density], generators: try arguments.generators(for: tensor.name))
            return { mask }
        }
    }
}

/// Keeps every entry with the same probability.
struct RandomMask: EntryMask {
    let densities: [Double]
    let generators: [CounterGenerator]

    var isKeepingAll: Bool { densities.allSatisfy { $0 >= 1 } }
    var passCount: Int { 0 }
    var byteCount: Int { 0 }
    func observe(_ chunk: MergeChunk, pass: Int) {}
    func finish(pass: Int) {}

    func apply(to values: UnsafeMutablePointer<Float>, of expert: Int, start: Int, count: Int) {
        drop(from: values, of: expert, start: start, count: count)
    }
    func apply(to values: UnsafeMutablePointer<Double>, of expert: Int, start: Int, count: Int) {
        drop(from: values, of: expert, start: start, count: count)
    }

    @inline(__always)
    private func drop<T: ElementwiseScalar>(
        from values: UnsafeMutablePointer<T>, of expert: Int, start: Int, count: Int
    ) {
        let density = densities[expert]
        guard density < 1 else { return }
        let generator = generators[expert]
        let limit = CounterGenerator.limit(of: density)
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: mergeBlockCapacity) { numbers in
            let numbers = numbers.baseAddress!
            generator.numbers(from: UInt64(start), step: 1, count: count, into: numbers)
            for i in 0..<count { values[i] = values[i].masked(by: CounterGenerator.isBelow(numbers[i], limit)) }
        }
    }
}
