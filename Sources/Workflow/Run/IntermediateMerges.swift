import Checkpoints
import Experts
import Kernels
import Merging
import Recipes
import SystemPackage
import TensorCore

/// The merges that the final document of a recipe file builds upon, all of them planned before the first is carried out.
public struct IntermediateMerges: Sendable {
    /// What they make, by the paths of the results, as far as plans know it: names, types and shapes.
    public private(set) var results: [FilePath: TensorStore] = [:]
    private var merges: [(pipeline: RunPipeline, stage: MergeStage)] = []

    /// Plans the merges in their order.
    ///
    /// - Throws: what planning throws.
    public init(of book: RecipeBook, write: WriteOptions, budget: ComputeBudget, memory: Int? = nil) throws {
        for recipe in book.intermediates {
            guard let output = recipe.output else { continue }
            let pipeline = RunPipeline(recipe, write: write, budget: budget, memory: memory)
            let stage = try pipeline.mergeStage(try pipeline.stores(planned: results))
            merges.append((pipeline, stage))
            results[output] = TensorStore(PlannedCheckpoint(stage.plan, at: output))
        }
    }

    /// The merges that no earlier run has left finished.
    ///
    /// - Throws: what would keep one of them from being written.
    public func unfinished() throws -> [RunPipeline] {
        var unfinished: [RunPipeline] = []
        for (pipeline, stage) in merges where try !pipeline.isFinished(after: unfinished) {
            try pipeline.requireRoom(for: stage)
            unfinished.append(pipeline)
        }
        return unfinished
    }
}

extension RunPipeline {
    /// Finds out what would keep the merge from being carried out, before other merges are that it builds upon.
    ///
    /// - Parameters:
    ///   - merges: all that the recipe builds upon.
    ///   - unfinished: those of them that are still to be carried out.
    /// - Throws: the first of what would be thrown later, be it of planning, of opening heads and data, or of the
    ///   outputs' places.
    public func check(after merges: IntermediateMerges, unfinished: [RunPipeline]) throws {
        try checkPurpose()
        let stage = try mergeStage(try stores(planned: merges.results))
        try checkOutputs()
        // What is in them is checked with the models.
        for model in recipe.models {
            if let head = model.head { _ = try HeadFile.open(head) }
            if let data = model.data { _ = try ImageFile.open(data) }
        }
        _ = try recipe.resolve?.auxiliary.open()
        if try !isFinished(after: unfinished) { try requireRoom(for: stage) }
    }

    /// Whether an earlier run has left the result, for which nothing may change that it is made of.
    fileprivate func isFinished(after unfinished: [RunPipeline]) throws -> Bool {
        let changing = Set(unfinished.compactMap(\.recipe.output))
        guard !write.force, recipe.resolve == nil, let output = recipe.output, fileExists(output),
            recipe.sourcePaths.allSatisfy({ !changing.contains($0) })
        else { return false }
        return try mergeSignature(try stores()).matches(outputAt: output)
    }

    /// Makes sure that the result of a plan may be written.
    fileprivate func requireRoom(for stage: MergeStage) throws {
        guard let output = recipe.output else { return }
        try stage.requireRoom(at: output, isFolder: recipe.outputIsFolder, options: write)
    }
}
