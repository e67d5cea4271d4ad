import Checkpoints
import Experts
import Kernels
import Merging
import Recipes
import SystemPackage
import TensorCore
import Work

/// The merges that the final document of a recipe file builds upon, all of them planned before the first is carried out.
public struct IntermediateMerges: Sendable {
    /// What they make, by the paths of the results, as far as plans know it: names, types and shapes.
    public private(set) var results: [FilePath: TensorStore] = [:]
    private var merges: [(run: RunJob, merge: MergeJob)] = []

    /// Plans the merges in their order.
    ///
    /// - Throws: what planning throws.
    public init(of book: RecipeBook, write: WriteOptions, in context: Context) throws {
        for recipe in book.intermediates {
            guard let output = recipe.output else { continue }
            let run = RunJob(recipe, write: write)
            let merge = try run.mergeJob(
                try run.stores(planned: results, in: context), target: try run.target(), in: context)
            merges.append((run, merge))
            results[output.path] = TensorStore(PlannedCheckpoint(merge.plan, at: output.path))
        }
    }

    /// The merges that no earlier run has left finished.
    ///
    /// - Throws: what would keep one of them from being written.
    public func unfinished(in context: Context) throws -> [RunJob] {
        let pending = try pending(in: context)
        for place in pending { try merges[place].merge.requireRoom() }
        return pending.map { merges[$0].run }
    }

    /// Whether an earlier run has left all of them finished.
    ///
    /// - Throws: what opening their models throws.
    public func areFinished(in context: Context) throws -> Bool { try pending(in: context).isEmpty }

    private func pending(in context: Context) throws -> [Int] {
        var pending: [Int] = []
        for place in merges.indices
        where try !merges[place].run.isFinished(after: pending.map { merges[$0].run }, in: context) {
            pending.append(place)
        }
        return pending
    }

    /// Whether something stands where one of them goes.
    public var haveOutputs: Bool { merges.contains { $0.merge.obstacle != nil } }
}

extension RunJob {
    /// Finds out what would keep the merge from being carried out, before other merges are that it builds upon.
    ///
    /// - Parameters:
    ///   - merges: all that the recipe builds upon.
    ///   - unfinished: those of them that are still to be carried out.
    /// - Throws: the first of what would be thrown later, be it of planning, of opening heads and data, or of the
    ///   outputs' places.
    public func check(after merges: IntermediateMerges, unfinished: [RunJob], in context: Context) throws {
        try checkPurpose()
        let merge = try mergeJob(
            try stores(planned: merges.results, in: context), target: try target(), in: context)
        try checkOutputs()
        // What is in them is checked with the models.
        for model in recipe.models {
            if let head = model.head { _ = try HeadFile.open(head) }
            if let data = model.data { try DataFile.check(data) }
        }
        try recipe.resolve?.auxiliary?.check()
        try recipe.distill?.auxiliary.check()
        if try !isFinished(after: unfinished, in: context) { try merge.requireRoom() }
    }

    /// Whether an earlier run has left the result, for which nothing may change that it is made of.
    fileprivate func isFinished(after unfinished: [RunJob], in context: Context) throws -> Bool {
        let changing = Set(unfinished.compactMap(\.recipe.output?.path))
        guard !write.force, recipe.resolve == nil, recipe.distill == nil, let output = recipe.output?.path,
            fileExists(output),
            recipe.sourcePlaces.allSatisfy({ !changing.contains(recipe.models[$0].path) })
        else { return false }
        let merge = try mergeJob(try stores(in: context), target: try target(), in: context)
        return WorkRecord.isFinished(try merge.fingerprint(), at: output)
    }
}
