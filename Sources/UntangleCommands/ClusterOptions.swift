import ArgumentParser

/// Where the entries of a recipe are carried out.
struct ClusterOptions: ParsableArguments {
    enum Engine: String, CaseIterable, ExpressibleByArgument {
        case local, slurm, print
    }

    @Option(help: "Where to work: here, on a cluster with Slurm, or nowhere: print the script that submits the tasks.")
    var engine = Engine.local

    // Options begin with dashes.
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "Options for sbatch, as in --sbatch '--partition=long --mem=16G --cpus-per-task=8'.", valueName: "options"))
    var sbatch = ""

    @Flag(help: "With --engine slurm: print the numbers of the jobs, and do not wait for them.")
    var noWait = false

    func validate() throws {
        guard engine != .local || (sbatch.isEmpty && !noWait) else {
            throw ValidationError("--sbatch and --no-wait belong to --engine slurm")
        }
        guard !sbatch.utf8.contains(where: { $0 < 0x20 }) else {
            throw ValidationError("the options of --sbatch go on one line")
        }
    }
}
