import Checkpoints
import Merging
import Recipes
import Reporting
import SystemPackage
import TensorCore
import Work
import Workflow

extension Merge {
    /// Recipes, each with the name that its result has among others, and the output.
    struct Recipes {
        let books: [(name: String, book: RecipeBook)]
        let output: String?
    }

    /// Reads the recipes that are given, and finds their models.
    ///
    /// - Throws: a usage error for a checkpoint in the place of a recipe, and when two results have one name.
    func readRecipes(_ session: Session) throws -> Recipes {
        let output = lastIsOutput ? inputs[1] : output
        var books: [(name: String, book: RecipeBook)] = []
        for path in (lastIsOutput ? [inputs[0]] : inputs).map({ FilePath($0) }) {
            try requireRecipe(path)
            let found = try RecipeBook.all(in: path, strict: recipes.strict)
            books += found.map { book in
                (name: (found.count == 1 ? nil : book.final.name) ?? path.stem ?? "merged", book: book)
            }
        }
        let isAlone = books.count == 1
        var names: Set<String> = []
        for (name, book) in books {
            guard names.insert(name).inserted else {
                throw UsageError(
                    "two results would be called \"\(name.escapingControlCharacters)\"",
                    hint: "results are called after the files of recipes, or after their documents; rename "
                        + "\(book.final.path.string.escapingControlCharacters)")
            }
        }
        for (name, book) in books where !book.intermediates.isEmpty && recipes.intermediateDir == nil {
            let folder = RecipeBook.intermediateFolder(beside: FilePath(name)).string
            guard !names.contains(folder) else {
                throw UsageError(
                    "\"\(folder.escapingControlCharacters)\" would be a result, and the folder of what "
                        + "\"\(name.escapingControlCharacters)\" builds upon",
                    hint: "rename one of them, or choose a folder with --intermediate-dir")
            }
        }
        return Recipes(
            books: try books.map { name, book in
                let result = output.map { isAlone ? FilePath($0) : FilePath($0).appending(name) }
                return (
                    name: name,
                    book: try recipes.located(
                        book, result: result ?? book.final.output?.path ?? book.final.path, in: session)
                )
            }, output: output)
    }

    /// Makes sure that a path is not that of a checkpoint, as when `--method` was forgotten.
    private func requireRecipe(_ path: FilePath) throws(UsageError) {
        let isAdapted = AdaptedPath(path) != nil
        let isCalledSo = fileExists(path) && CheckpointFormat.named(path) != nil
        guard folderExists(path) || isAdapted || isCalledSo else { return }
        let isCheckpoint = isAdapted || !folderExists(path) || (try? TensorStore(opening: path)) != nil
        throw UsageError(
            "\(path.string.escapingControlCharacters) is a \(isCheckpoint ? "checkpoint" : "folder"), not a recipe",
            hint: isCheckpoint ? "give --method METHOD to merge checkpoints" : nil)
    }

    /// Plans the merge of a recipe, after those that it builds upon, which are carried out unless this is a dry run.
    func job(
        of book: RecipeBook, target: OutputTarget?, models: OpenedModels, in context: Context
    ) throws -> MergeJob {
        let planned = try plan(book, target: target, models: models, in: context)
        guard !dryRun, target != nil, let merges = planned.merges else { return planned.job }
        try merges.carryOut(in: models.session) { _ in try planned.job.requireRoom() }
        return try plan(book.alone, target: target, models: models, in: context).job
    }

    /// Plans the merge of a recipe.
    ///
    /// - Returns: the merges that it builds upon, too; nil without.
    func plan(
        _ book: RecipeBook, target: OutputTarget?, models: OpenedModels, in context: Context
    ) throws -> (job: MergeJob, merges: IntermediateMerges?) {
        let session = models.session
        var recipe = book.final
        recipe.map = try NameMap(recipe.map.rules + naming.map)
        for (key, isThere) in [("resolve", recipe.resolve != nil), ("distill", recipe.distill != nil)] where isThere {
            session.warn(
                Warning(
                    RecipeWarning.resolveLeftOut,
                    "merge leaves out the \(key) section of the recipe; untangle run carries it out"))
        }
        guard book.intermediates.isEmpty || (part == nil && !join) else {
            throw UsageError(
                "a merge that builds upon other documents of its recipe cannot be cut into parts",
                hint: "merge those documents first, as recipes of their own")
        }
        let merges = try IntermediateMerges(of: book, write: writing.writeOptions(), in: session.context)
        let base = recipe.baseModel?.path
        let stores = try recipe.stores(warn: session.warn) { path in
            if let planned = merges.results[path] { return planned }
            return try models.open(path, options: readOptions(for: recipe.mergeMethod, base: base, session))
        }
        var job = try MergeJob(
            recipe, stores: stores, settings: try parameters.parameters().values, selection: selection.selection,
            keepBase: keeping.keepBase, outputDType: dtype?.dtype, target: target, in: context)
        job.folder.overrides += naming.map.map { "--map \($0.quotedForShell)" }
        return (job, book.intermediates.isEmpty ? nil : merges)
    }

    /// Carries several recipes out in one sweep.
    func run(
        _ recipes: Recipes, since started: ContinuousClock.Instant, _ reports: [ReportTarget], in session: Session
    ) throws -> ExitStatus {
        guard part == nil, !join else {
            throw UsageError("the merge of one recipe can be cut into parts, not that of \(recipes.books.count)")
        }
        let folder = try recipes.output.map { try OutputPlace(argument: $0) }
        guard folder?.isFolder ?? true else {
            throw UsageError(
                "\(recipes.books.count) results need a folder",
                hint: "end the output in a slash, as in --output merged/")
        }
        let places = recipes.books.map { name, _ in
            folder.map { OutputPlace($0.path.appending(name), isFolder: true) }
        }
        // Each merge gets its share.
        var context = session.context
        context.memory = context.memory.map { $0 / recipes.books.count }
        let models = OpenedModels(session)
        func jobs(of books: [RecipeBook]) throws -> [(job: MergeJob, merges: IntermediateMerges?)] {
            try zip(books, places).map { book, place in
                do {
                    var planned = try plan(book, target: try place.map { try target($0) }, models: models, in: context)
                    planned.job.folder.overrides += readingOverrides
                    return planned
                } catch let error as RecipeError where error.code == "merge.memory" && context.memory != nil {
                    throw RecipeError(
                        error, file: book.final.path, at: nil,
                        hint:
                            "each of \(books.count) merges has its share of --memory; raise it, or merge one recipe at a "
                            + "time")
                }
            }
        }
        var planned = try jobs(of: recipes.books.map(\.book))
        if dryRun {
            return try printPlans(of: MergeBatch(planned.map(\.job)), named: recipes, to: reports, in: session)
        }
        guard let folder else { throw UsageError("there is no output") }
        if planned.contains(where: { $0.merges != nil }) {
            for job in planned.map(\.job) { try job.requireRoom() }
            for merges in planned.compactMap(\.merges) { try merges.carryOut(in: session) { _ in } }
            planned = try jobs(of: recipes.books.map(\.book.alone))
        }
        let batch = MergeBatch(planned.map(\.job))
        let outcomes = try session.run(batch)
        let duration = ContinuousClock.now - started
        let results = zip(recipes.books.map(\.name), zip(batch.jobs, outcomes)).map { name, result in
            let (job, outcome) = result
            guard let written = outcome.written else { preconditionFailure("a merge with a target has written it") }
            for warning in outcome.report.warnings { session.warn(warning.about(name)) }
            let output = folder.path.appending(name).string + "/"
            let line = "\(output): \(job.plan.merged), \(ByteSize(written.byteCount))"
            return report(
                of: job.plan, outcome.report, written, to: output, in: duration, warnings: outcome.report.warnings,
                and: (outcome.folder?.sections ?? []) + [.text([line] + (outcome.folder?.lines ?? []))])
        }
        let memory = batch.jobs.reduce(0) { $0 + $1.plan.summary.workingByteCount }
        try session.print(
            Report(
                title: folder.path.string,
                sections: [
                    .reports("merges", results),
                    .facts([.init("seconds", .number(duration.seconds)), .init("memory_bytes", .integer(memory))]),
                    .text([
                        "\(results.count) merges in one sweep, \(duration.readable), working memory at most \(ByteSize(memory))"
                    ]), .warnings,
                ], warnings: session.warnings), to: reports)
        return .done
    }

    private func printPlans(
        of batch: MergeBatch, named recipes: Recipes, to reports: [ReportTarget], in session: Session
    ) throws -> ExitStatus {
        for job in batch.jobs { warn(of: job, session) }
        if let shortage = batch.diskSpace?.shortage { session.warn(Warning(OutputWarning.space, shortage.message)) }
        let plans = zip(recipes.books, batch.jobs).map { recipe, job in
            var report = job.plan.report(job.diskSpace, nil, after: job.warnings)
            report.title = "\(recipe.name): \(report.title)"
            report.sections.insert(.text([report.title]), at: 0)
            return report
        }
        try session.print(
            Report(
                title: "\(plans.count) merges in one sweep", sections: [.reports("merges", plans), .warnings],
                warnings: session.warnings), to: reports)
        return .done
    }

    func readOptions(for method: String?, base: FilePath?, _ session: Session) throws -> ReadOptions {
        var options = try reading.readOptions(
            selection: selection.selection, sharedBase: base, threads: session.budget.threads,
            memoryByteCount: session.memoryByteCount)
        options.keepsParts = method.map(MergeMethods.keepsParts) ?? false
        return options
    }
}

extension RecipeBook {
    /// The final document, when what it builds upon is there.
    fileprivate var alone: RecipeBook {
        var book = self
        book.intermediates = []
        return book
    }
}
