import ArgumentParser
import Checkpoints
import Merging
import Recipes
import SystemPackage
import TensorCore
import Work
import Workflow

/// Where models are that are called by their names on the Hugging Face hub.
struct ModelOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where models with names of the Hugging Face hub are, before the hub's own cache: a folder with "
                + "organisation/name or name in it, or another such cache. Nothing is downloaded.", valueName: "folder"),
        completion: .directory)
    var modelsDir: FilePath?

    /// The folder of `--models-dir`, if it was given.
    ///
    /// - Throws: a usage error when the folder is none.
    func folder() throws(UsageError) -> FilePath? {
        if let modelsDir, !folderExists(modelsDir) {
            throw UsageError("--models-dir \(modelsDir) is not a folder")
        }
        return modelsDir
    }

    /// Where models are looked for that arguments name.
    ///
    /// - Throws: as `folder`.
    func places() throws(UsageError) -> CheckpointSource.Places {
        CheckpointSource.Places(modelsFolder: try folder())
    }
}

/// How a recipe is read and where its models are.
struct RecipeOptions: ParsableArguments {
    @Flag(help: "Turn warnings about the recipe into errors.")
    var strict = false

    @OptionGroup var models: ModelOptions

    @Option(
        help: ArgumentHelp(
            "Where the results of a recipe's named documents go (default: beside the output).", valueName: "folder"),
        completion: .directory)
    var intermediateDir: FilePath?

    /// Reads a recipe, finds its models, and warns of what it ignores.
    ///
    /// - Parameter output: where the final result goes; nil takes what the recipe says.
    func book(_ path: FilePath, output: FilePath? = nil, in session: Session) throws -> RecipeBook {
        let book = try RecipeBook.load(path, strict: strict)
        return try located(book, result: output ?? book.final.output?.path ?? path, in: session)
    }

    /// Finds the models of a recipe, and warns of what it ignores.
    ///
    /// - Parameter result: where the final result goes, or would.
    func located(_ book: RecipeBook, result: FilePath, in session: Session) throws -> RecipeBook {
        let modelsFolder = try models.folder()
        book.warnings.forEach(session.warn)
        let located = try book.located(
            modelsFolder: modelsFolder,
            intermediateFolder: intermediateDir ?? RecipeBook.intermediateFolder(beside: result))
        for recipe in located.intermediates + [located.final] { session.reads(recipe) }
        return located
    }
}

extension IntermediateMerges {
    /// Carries out what no earlier run has left finished; nothing is written unless all of it can be, and the final merge, too.
    ///
    /// - Parameter check: makes sure of the final merge.
    /// - Returns: what was carried out.
    @discardableResult
    func carryOut(in session: Session, check: (_ unfinished: [RunJob]) throws -> Void) throws -> [RunJob] {
        let unfinished = try unfinished(in: session.context)
        guard !unfinished.isEmpty else { return [] }
        try check(unfinished)
        for job in unfinished { _ = try session.run(job) }
        return unfinished
    }
}
