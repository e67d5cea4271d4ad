import Checkpoints
import Experts
import Recipes
import SystemPackage
import TensorCore
import Work

extension CompareJob {
    /// What is done, in its order: teachers and experts once for all merges that ask for the same, under the first of these. An entry
    /// can be carried out once those before it are, but for the teachers, which an expert can do without.
    ///
    /// - Throws: what opening the recipes' files throws.
    public func entries(in context: Context) throws -> [CompareEntry] {
        try check()
        return try entries(
            on: Benches(auxiliary: auxiliary, context: context), ofMergesAt: Array(variants.indices),
            needTeachers: { try $0.teachersFile() != nil }, names: { $0.set.experts.map(\.name) })
    }

    /// The entries that are still to be carried out: those that no earlier run has done with the same inputs and settings. The table
    /// is always among them.
    ///
    /// - Throws: what opening the recipes' files throws.
    public func unfinishedEntries(in context: Context) throws -> [CompareEntry] {
        guard !write.force else { return try entries(in: context) }
        try check()
        let benches = Benches(auxiliary: auxiliary, context: context)
        let places = try variants.indices.filter { place in
            let recipe = variants[place].recipe
            return try finishedFigures(of: recipe, on: benches[recipe]) == nil
        }
        return try entries(
            on: benches, ofMergesAt: places, needTeachers: { try $0.lacksTeachers() }, names: { try $0.unfinished() })
    }

    private func entries(
        on benches: Benches, ofMergesAt places: [Int], needTeachers: (ResolveJob) throws -> Bool,
        names: (ResolveJob) throws -> [String]
    ) throws -> [CompareEntry] {
        let firsts = try firstMerges(on: benches)
        var (teachers, experts): ([CompareEntry], [CompareEntry]) = ([], [])
        var seen: Set<FilePath> = []
        for place in places {
            guard let job = try resolveJob(at: place, on: benches), let output = job.output,
                seen.insert(output).inserted
            else { continue }
            let names = try names(job)
            experts += names.map { .expert($0, merge: (firsts[output] ?? place) + 1) }
            if let path = job.teachersPath, !names.isEmpty, seen.insert(path).inserted, try needTeachers(job) {
                teachers.append(.teachers(merge: (firsts[path] ?? place) + 1))
            }
        }
        return teachers + experts + places.map { .merge($0 + 1) } + [.table]
    }

    /// The first merge that asks for the experts in a folder, or for the teachers in a file.
    private func firstMerges(on benches: Benches) throws -> [FilePath: Int] {
        var firsts: [FilePath: Int] = [:]
        for place in variants.indices {
            let job = try resolveJob(at: place, on: benches)
            for path in [job?.output, job?.teachersPath].compactMap({ $0 }) where firsts[path] == nil {
                firsts[path] = place
            }
        }
        return firsts
    }

    private func resolveJob(at place: Int, on benches: Benches) throws -> ResolveJob? {
        let recipe = variants[place].recipe
        guard recipe.resolve != nil else { return nil }
        return try benches[recipe].resolveJob(for: recipe, in: folder, write: write)
    }

    /// Computes what the experts that a merge asks for are held to in common, and nothing else.
    ///
    /// - Parameter number: the merge, from 1.
    /// - Returns: nil when there is no such merge, or its experts have nothing of that kind.
    /// - Throws: as `run(in:)`.
    public func teach(forMerge number: Int, in context: Context) throws -> KeptTeachers? {
        guard variants.indices.contains(number - 1) else { return nil }
        try prepare()
        return try resolveJob(at: number - 1, on: Benches(auxiliary: auxiliary, context: context))?.teach(in: context)
    }

    /// Adapts one expert as a merge asks for it, and nothing else.
    ///
    /// - Parameter number: the merge, from 1.
    /// - Returns: nil when there is no such merge, or it has no such expert to adapt.
    /// - Throws: as `run(in:)`.
    public func adapt(_ name: String, forMerge number: Int, in context: Context) throws -> AdaptedExpert? {
        guard variants.indices.contains(number - 1) else { return nil }
        try prepare()
        let benches = Benches(auxiliary: auxiliary, context: context)
        guard var job = try resolveJob(at: number - 1, on: benches),
            job.set.experts.contains(where: { $0.name == name })
        else { return nil }
        job.only = [name]
        return try job.run(in: context).first
    }

    /// Merges and measures once, with experts that are there, and keeps the figures.
    ///
    /// - Parameter number: the merge, from 1.
    /// - Returns: nil when there is no such merge.
    /// - Throws: `input.not_ready` when its adapted experts are not there; as `run(in:)`.
    public func measure(merge number: Int, in context: Context) throws -> ComparedMerge? {
        let place = number - 1
        guard variants.indices.contains(place) else { return nil }
        try prepare()
        let benches = Benches(auxiliary: auxiliary, context: context)
        return try merge(at: place, on: benches) { job in
            guard var job else { return [] }
            // Of what was made before it, an entry replaces nothing.
            job.write.force = false
            if let name = try job.unfinished().first {
                let first = try firstMerges(on: benches)[job.output ?? folder] ?? place
                throw InputError.notReady(
                    "the adapted expert \"\(name)\"", madeBy: CompareEntry.expert(name, merge: first + 1))
            }
            return try job.run(in: context)
        }
    }

    /// The merges in the order of the variants, whose figures are all there.
    ///
    /// - Throws: `input.not_ready` when those of one are not.
    public func finished(in context: Context) throws -> [ComparedMerge] {
        try check()
        let benches = Benches(auxiliary: auxiliary, context: context)
        let merges = try variants.enumerated().map { place, variant in
            guard let figures = try finishedFigures(of: variant.recipe, on: benches[variant.recipe]) else {
                throw InputError.notReady("merge \(place + 1)", madeBy: CompareEntry.merge(place + 1))
            }
            return merge(variant, figures)
        }
        warnOfDifferentTasks(merges, context)
        return merges
    }
}
