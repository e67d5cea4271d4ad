// Model breadcrumbs: drops the largest changes as outliers and the smallest as noise.
//
//     of the n entries of τ_i by magnitude, largest first: drop int(gamma · n), keep the next int(density · n), drop the rest
//     breadcrumbs        θ = θ₀ + λ Σ w_i τ̂_i     divided by Σ w_i when `normalize` is true
//     breadcrumbs_ties   the same over the entries whose sign is that of the sum; see `ties`
//
// Davari, Belilovsky 2023, "Model breadcrumbs", arXiv:2312.06795, as mergekit 0.1.5 does it: where fewer entries are left than
// are to be kept, fewer outliers go; a density of 1 keeps all, outliers too. Tensor by tensor; of equal magnitudes those that
// come first in memory count as larger. Passes over the inputs: one to select, one to rescale, one to merge.

import Kernels
import TensorCore

struct Breadcrumbs: MergeMethod {
    let info: MethodInfo
    private let isElecting: Bool

    private static let gamma = ExpertParameterKey(
        "gamma", default: 0.01, range: 0...1, help: "Share of the largest entries that is dropped.")

    static let linear = Breadcrumbs(
        "breadcrumbs", "Sum of the task vectors without their largest and smallest entries.", isElecting: false)
    static let ties = Breadcrumbs(
        "breadcrumbs_ties", "TIES that also drops the largest entries as outliers.", isElecting: true)

    private init(_ name: String, _ summary: String, isElecting: Bool) {
        self.isElecting = isElecting
        info = MethodInfo(
            name: name, summary: summary, paper: "Davari, Belilovsky 2023, arXiv:2312.06795", needsBase: true,
            parameters: [
                ExpertParameterKey.weight, ExpertParameterKey.density, Self.gamma, ParameterKey.normalize,
                ParameterKey.rescale, ParameterKey.lambda,
            ])
    }

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        try SparseTaskVectorSum.assign(tensors, arguments: arguments, isElecting: isElecting) {
            (tensor, arguments) throws(MergeError) in
            let densities = try arguments[.density]
            let gammas = try arguments[Self.gamma]
            return { MagnitudeBand(densities: densities, gammas: gammas, elementCount: tensor.elementCount) }
        }
    }
}

/// Keeps entries of middling magnitude, or the largest.
struct MagnitudeBand: EntryMask {
    private let densities: [Double]
    /// Two streams for each expert: the outliers, and the outliers with what is kept.
    private let entries: LargestEntries

    init(densities: [Double], gammas: [Double], elementCount n: Int) {
        self.densities = densities
        let counts = zip(densities, gammas).flatMap { density, gamma -> [Int?] in
            guard density < 1, n > 0 else { return [0, nil] }
            let kept = Int(density * Double(n))
            let dropped = min(Int(gamma * Double(n)), n - kept)
            return [dropped, kept + dropped]
        }
        entries = LargestEntries(counts: counts, elementCount: n, equals: .firstInTensor)
    }

    /// Keeps the largest entries, at least one unless the share is 0: the trim of TIES.
    init(largestShares densities: [Double], elementCount n: Int) {
        self.densities = densities
        let counts = densities.flatMap { density -> [Int?] in
            guard density < 1, n > 0 else { return [0, nil] }
            return [0, density > 0 ? max(1, Int(density * Double(n))) : 0]
        }
        entries = LargestEntries(counts: counts, elementCount: n, equals: .firstInTensor)
    }

    var isKeepingAll: Bool { densities.allSatisfy { $0 >= 1 } }
    var passCount: Int { entries.passCount }
    var readingCount: Int { entries.readingCount }
    var byteCount: Int { entries.byteCount }
    var scratchByteCount: Int { entries.scratchByteCount }
    func needs(pass: Int) -> Bool { entries.isSearching }

    func observe(_ chunk: MergeChunk, pass: Int) {
        if chunk.needsDouble {
            TaskVectorStreams<Double>.with(chunk, streamsPerExpert: 2) { entries.observe(&$0) }
        } else {
            TaskVectorStreams<Float>.with(chunk, streamsPerExpert: 2) { entries.observe(&$0) }
        }
    }

    func finish(pass: Int) { entries.finishPass() }

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
        guard densities[expert] < 1 else { return }
        let cuts = entries.cuts
        cuts[2 * expert + 1].keep(values, by: values, from: start, count: count)
        cuts[2 * expert].drop(from: values, start: start, count: count)
    }
}
