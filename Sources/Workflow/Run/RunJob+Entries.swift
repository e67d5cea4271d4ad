import Checkpoints
import Experts
import Recipes
import SystemPackage
import TensorCore
import Work

extension RunJob {
    /// What `run` does, in its order. An entry can be carried out once those before it are, but for the teachers, which an expert can do
    /// without.
    public var entries: [RunEntry] {
        let count = recipe.experts.count
        let teachers = recipe.resolve?.options.sharesBaseOutputs(amongExperts: count) == true ? [RunEntry.teachers] : []
        let experts = recipe.resolve == nil ? [] : recipe.experts.map { RunEntry.expert($0.name) }
        let isTold = !recipe.reports.isEmpty || recipe.models.contains { $0.data != nil }
        return teachers + experts + (recipe.output == nil ? [] : [.merge]) + (isTold ? [.measure] : [])
    }

    /// The entries that are still to be carried out: those whose outputs no earlier run has left from the same inputs and settings.
    /// Measuring leaves nothing of that kind and is always among them.
    ///
    /// - Throws: `recipe.*`, what opening the recipe's files throws.
    public func unfinishedEntries(in context: Context) throws -> [RunEntry] {
        try checkPurpose()
        try checkOutputs()
        guard !write.force else { return entries }
        var stores: [TensorStore?]
        var experts: ExpertSet?
        if recipe.resolve != nil || recipe.distill != nil {
            let set = try expertSet(in: context)
            experts = set
            let job = try resolveJob(set)
            let names = Set(try job?.unfinished() ?? [])
            guard names.isEmpty else {
                try requireReplaceable(
                    try mergeJob(recipe.stores(of: set), target: try target(), in: context))
                let lacksTeachers = try job?.lacksTeachers() ?? false
                return entries.filter { entry in
                    switch entry {
                    case .teachers: lacksTeachers
                    case .expert(let name): names.contains(name)
                    case .documents, .merge, .measure: true
                    }
                }
            }
            stores = recipe.stores(of: set)
            for (place, expert) in zip(recipe.expertPlaces, try job?.run(in: context) ?? []) {
                stores[place] = expert.store
            }
        } else {
            stores = try self.stores(in: context)
        }
        let merge = try mergeJob(stores, target: try target(), in: context)
        let distilling = try experts.flatMap { try distillJob($0, of: merge) }
        let fingerprint = try distilling?.fingerprint() ?? merge.fingerprint()
        let isMerged = merge.target.map { WorkRecord.isFinished(fingerprint, at: $0.path) } ?? true
        return entries.filter { $0 == .measure || $0 == .merge && !isMerged }
    }

    /// Where a cluster's notes about the entries go: `out/merged.slurm` beside `out/merged.safetensors`, or beside the recipe.
    public var clusterFolder: FilePath { (recipe.output?.path ?? recipe.path).withSuffix(".slurm") }
}
