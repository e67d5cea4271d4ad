import ArgumentParser
import Checkpoints
import Experts
import SystemPackage

/// A base and its experts, with what belongs to their tasks.
struct ExpertOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The pretrained checkpoint.", valueName: "checkpoint"))
    var base: CheckpointSource

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("An expert that was fine-tuned from the base; repeatable.", valueName: "name=checkpoint"))
    var expert: [NamedFile]

    @Option(
        parsing: .singleValue,
        help: ArgumentHelp("The head of an expert's task; repeatable.", valueName: "name=file"))
    var head: [NamedFile] = []

    @Option(
        help: ArgumentHelp(
            "The backbone's configuration (default: config.json or open_clip_config.json beside the base).",
            valueName: "file"))
    var config: FilePath?

    @OptionGroup var place: SubfolderOption
    @OptionGroup var naming: MapOptions
    @OptionGroup var dataFlags: DataFlags

    /// Makes sure that experts have heads.
    ///
    /// - Parameter names: the experts that need one; nil stands for all.
    /// - Throws: a usage error that names the first expert without a head.
    func checkHeads(of names: [String]? = nil) throws(UsageError) {
        for name in names ?? expert.map(\.name) where head.file(named: name) == nil {
            throw UsageError("expert \(name) has no head", hint: "add --head \(name)=FILE")
        }
    }

    /// Opens a model that was made of the experts, under the names of the base.
    ///
    /// - Parameter set: what `expertSet` has opened.
    func open(merged: CheckpointSource, of set: ExpertSet, in session: Session) throws -> TensorStore {
        let path = try session.locate(merged, subfolder: place.subfolder)
        let store = try session.open(path, options: session.context.reading(sharedBase: set.base.openedPath))
        // Rules that change nothing here may have changed the experts.
        return try set.map.applied(to: [store], toMatch: set.base) { _ in }[0]
    }

    /// Opens everything.
    ///
    /// - Parameter data: what each task is measured on.
    func expertSet(data: [NamedFile] = [], in session: Session) throws -> ExpertSet {
        let names = expert.map(\.name)
        try expert.check("--expert")
        try head.check("--head", among: names)
        try data.check("--data", among: names)
        let base = try session.locate(base, subfolder: place.subfolder)
        let experts = try expert.located(in: session, subfolder: place.subfolder)
        let heads = try head.located(in: session)
        for file in data { session.reads(file.file) }
        ConfigurationFiles.paths(of: base, config: config).forEach { session.reads($0) }
        let set = try ExpertSet(
            base: base, config: config,
            experts: experts.map { expert in
                ExpertFiles(
                    name: expert.name, checkpoint: expert.file, head: heads.file(named: expert.name),
                    data: data.file(named: expert.name))
            }, map: try naming.nameMap(), data: dataFlags.options, in: session.context)
        ([set.base] + set.experts.map(\.store)).flatMap(\.warnings).forEach(session.warn)
        return set
    }
}
