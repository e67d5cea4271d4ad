// Arcee Fusion: takes from one model the entries whose change matters, by its size and by how far it moves the row's distribution.
//
//     p = softmax(row of x) + 10⁻⁸,  q = softmax(row of θ₀) + 10⁻⁸,  K = Σ p ln(p / q)      rows along the last axis
//     s = |x − θ₀| K                                                                    an importance for every entry
//     t = median(s) + 1.5 (upper quartile − lower quartile)       of this tensor, each an entry: number int(f · (count − 1))
//     θ = x where s ≥ t, else θ₀
//
// As mergekit 0.1.5 does it (Goddard et al. 2024, arXiv:2403.13257); it has no paper of its own. There are no parameters. Rows of
// weights are nearly equal, so K is some 10⁻⁶, which mergekit's F32 gives with an error of 10⁻³: of 12,400 entries 7 to 12 near t
// differ. Here s is computed in F64 and compared in F32. From a million entries on mergekit estimates quartiles of a random sample;
// here they are exact. Entries that are not finite are left out of the softmax. Two passes, two more over rows that are not whole in a
// chunk, and one to merge.

import Kernels
import TensorCore

struct ArceeFusion: MergeMethod {
    let info = MethodInfo(
        name: "arcee_fusion", summary: "The entries of one model whose change matters most, the rest from the base.",
        paper: "mergekit: Goddard et al. 2024, arXiv:2403.13257", needsBase: true, expertCounts: 1...1, parameters: [])

    func assign(_ tensors: [TensorDescriptor], arguments: MergeArguments) throws(MergeError) -> MergeAssignment {
        MergeAssignment(
            rules: tensors.map { tensor in
                .surveyed { _ in
                    ImportantChanges(
                        scores: ImportanceScores(
                            rowLength: max(1, tensor.shape.dims.last ?? 1), elementCount: tensor.elementCount))
                }
            })
    }
}

/// The entries of the model whose score counts, and those of the base.
struct ImportantChanges: ElementwiseRule {
    let scores: ImportanceScores

    var survey: (any MergeSurvey)? { scores }
    func scratchRowCount(expertCount: Int) -> Int { 2 }
    func merge(_ block: MergeBlock<Float>) { mergeAny(block) }
    func merge(_ block: MergeBlock<Double>) { mergeAny(block) }

    @inline(__always)
    private func mergeAny<T>(_ block: MergeBlock<T>) {
        let (base, model) = (block.row(0), block.row(1))
        block.readBase(into: base)
        block.readExpert(0, into: model)
        let (divergences, threshold) = scores.result
        withUnsafeTemporaryAllocation(of: Float.self, capacity: block.count) { memory in
            guard let importance = memory.baseAddress else { return }
            scores.fill(importance, from: block.start, count: block.count, base: base, model: model, divergences)
            // What is not finite has no score that compares, and has to come through.
            T.choose(model, base, count: block.count, scores: importance, from: threshold, into: block.result)
        }
    }
}
