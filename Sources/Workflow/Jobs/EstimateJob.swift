import Analysis
import Checkpoints
import Experts
import Kernels
import TensorCore
import Work

/// Estimates from weights alone how much experts, and a merged model of them, disturb each other.
///
/// Nothing is run through a network; docs/interference.md says how far the estimates follow what is measured.
public struct EstimateJob: Job, Sendable {
    private let set: TaskVectorSet
    private let expertCount: Int

    /// What the weights of two models, or of a merged model and all its experts, have in common.
    public struct Estimate: Sendable, Hashable {
        /// Of the task vectors, over the whole model.
        public let cosine: Double?
        /// Of the entries that both moved, the share that they moved in opposite directions.
        public let signConflict: Double?
        /// The mean over matrices of the alignment of the strongest left directions.
        public let subspaceOverlap: Double?
        /// How often the directions of the sum of two task vectors, or of the merged change, are counted.
        public let coefficient: Double?
        /// The share of that change which is there more than once; nil for a merged model and a single expert.
        public let countedTwice: Double?
    }

    /// All estimates.
    public struct Outcome: Sendable {
        /// Every pair of experts once, in their order, by their places.
        public let pairs: [(a: Int, b: Int, estimate: Estimate)]
        /// The merged model beside each expert.
        public let merged: [Estimate]
        /// The merged model beside all experts: means over them.
        public let merge: Estimate
    }

    /// Puts experts and a merged model side by side, in the tensors of their network.
    ///
    /// - Throws: `analysis.incompatible` when tensors differ in shape, `io.memory` when one alone takes more than there is.
    public init(_ experts: ExpertSet, merged: TensorStore, in context: Context) throws {
        let models = experts.experts.map { (name: $0.name, store: $0.store) }
        var set = try TaskVectorSet(
            base: experts.base, experts: models + [(name: "the merged model", store: merged)],
            selection: TensorSelection(only: try experts.backbone.parameterNames(in: experts.base).map(\.text)))
        if let memory = context.memory { try set.setMemory(memory) }
        self.set = set
        expertCount = models.count
    }

    /// Decomposes every matrix of every task vector, of the sums of two, and of the merged change.
    ///
    /// - Throws: `analysis.*`; what readers throw.
    public func run(in context: Context) throws -> Outcome {
        let progress = context.progress
        progress.begin("estimating", total: 2 * set.matrices.count, unit: .items("matrices"))
        defer { progress.end() }
        let group = try TaskVectorStatistics(set, level: .model, budget: context.budget).model
        let memory = context.memory ?? .max
        let spectra = try set.spectra(budget: context.budget, memory: memory) { [progress] _ in progress.advance(by: 1)
        }
        let experts = Array(0..<expertCount)
        let changes =
            group.pairs.filter { $0.b < expertCount }.map {
                TaskVectorSet.MergedChange(sum: [$0.a, $0.b], experts: [$0.a, $0.b])
            }
            + [TaskVectorSet.MergedChange(sum: [expertCount], experts: experts)]
        let counts = try set.overCounting(of: changes, budget: context.budget, memory: memory) { [progress] _ in
            progress.advance(by: 1)
        }
        let merge = counts[counts.count - 1]
        var (pairs, merged): ([(a: Int, b: Int, estimate: Estimate)], [Estimate]) = ([], [])
        for (place, pair) in group.pairs.enumerated() {
            let overlap = Self.mean(spectra.map { $0.alignments[place].value }.filter { $0 != nil })
            let isMerge = pair.b == expertCount
            let count = isMerge ? nil : counts[pairs.count]
            let estimate = Estimate(
                cosine: pair.cosine, signConflict: pair.signConflict, subspaceOverlap: overlap,
                coefficient: isMerge ? merge.experts[pair.a] : count?.coefficient, countedTwice: count?.share)
            if isMerge { merged.append(estimate) } else { pairs.append((pair.a, pair.b, estimate)) }
        }
        return Outcome(
            pairs: pairs, merged: merged,
            merge: Estimate(
                cosine: Self.mean(merged.map(\.cosine)), signConflict: Self.mean(merged.map(\.signConflict)),
                subspaceOverlap: Self.mean(merged.map(\.subspaceOverlap)), coefficient: merge.coefficient,
                countedTwice: merge.share))
    }

    /// Nil when a value is, or when there is none.
    private static func mean(_ values: [Double?]) -> Double? {
        let known = values.compactMap { $0 }
        return known.isEmpty || known.count < values.count ? nil : known.reduce(0, +) / Double(known.count)
    }
}
