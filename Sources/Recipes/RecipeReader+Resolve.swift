import Experts
import Interference
import TensorCore

extension RecipeReader {
    private static let sourceKeys = ["auxiliary", "auxiliary_count"]

    /// The section of Resolving Interference.
    func resolve(from root: YAMLSection) throws(RecipeError) -> Recipe.Resolve? {
        guard
            let section = try section(
                "resolve", of: root,
                known: Self.sourceKeys + ["preset"] + ResolverOption.all.map(\.name) + ["output", "save_every"])
        else { return nil }
        let preset = try section.choice("preset", ResolverPreset.self)
        let options = try options(ResolverOption.all, from: preset?.options ?? ResolverOptions(), in: section)
        let auxiliary = try auxiliary(of: section, seed: options.seed)
        guard auxiliary != nil || !options.needsAuxiliary else { throw missingInputs(of: section) }
        guard auxiliary == nil || options.needsAuxiliary else {
            throw RecipeError(
                .badValue, "solver gram looks at heads alone, and at no auxiliary inputs", file: path,
                at: section.position(of: "auxiliary"), hint: "leave out auxiliary, or use solver: ridge")
        }
        return Recipe.Resolve(
            auxiliary: auxiliary, options: options, output: try section.path("output"),
            saveEvery: try section.integer("save_every", in: Resolver.Saving.intervals))
    }

    /// The section of distilling.
    ///
    /// - Parameter shared: the inputs of resolving, which serve where the section has none.
    func distill(
        from root: YAMLSection, sharing shared: AuxiliarySource?
    ) throws(RecipeError) -> Recipe.Distill? {
        guard
            let section = try section(
                "distill", of: root,
                known: Self.sourceKeys + ResolverOption.ofDistilling.map(\.name) + ["save_every"])
        else { return nil }
        let options = try options(ResolverOption.ofDistilling, from: ResolverOptions(), in: section)
        guard let auxiliary = try auxiliary(of: section, seed: options.seed) ?? shared else {
            throw missingInputs(of: section)
        }
        return Recipe.Distill(
            auxiliary: auxiliary, options: options,
            saveEvery: try section.integer("save_every", in: Resolver.Saving.intervals))
    }

    /// A section of training; nil when the recipe has none.
    private func section(_ key: String, of root: YAMLSection, known: [String]) throws(RecipeError) -> YAMLSection? {
        guard root.node(key) != nil else { return nil }
        try Self.requireOne(key, of: root, file: path)
        guard let section = try root.section(key) else {
            throw RecipeError(
                .missingKey, "\(key) is empty", file: path, at: root.position(of: key), hint: Self.sourceHint)
        }
        if let unknown = section.unknownKeys(known: known).first { throw unknown.error }
        return section
    }

    private static let sourceHint =
        "auxiliary: FILE or FOLDER, or one of " + GeneratedInputs.Kind.allCases.map(\.rawValue).joined(separator: ", ")

    private func missingInputs(of section: YAMLSection) -> RecipeError {
        RecipeError(
            .missingKey, "\(section.title) has no auxiliary inputs", file: path, at: section.position,
            hint: Self.sourceHint)
    }

    /// Where a section has its inputs from; nil when it does not say.
    private func auxiliary(of section: YAMLSection, seed: UInt64) throws(RecipeError) -> AuxiliarySource? {
        let count =
            try section.integer("auxiliary_count", in: GeneratedInputs.counts) ?? GeneratedInputs.defaultCount
        guard let file = try section.path("auxiliary") else { return nil }
        let kind = try section.text("auxiliary").flatMap(GeneratedInputs.Kind.init)
        return kind.map { .generated(GeneratedInputs($0, count: count, seed: seed)) } ?? .file(file)
    }

    private func options(
        _ all: [ResolverOption], from start: ResolverOptions, in section: YAMLSection
    ) throws(RecipeError) -> ResolverOptions {
        var options = start
        for option in all { try section.read(option, into: &options) }
        do throws(InterferenceError) { try options.validate() } catch {
            throw RecipeError(.badValue, error.message, file: path, at: section.position, hint: error.hint)
        }
        return options
    }
}

extension YAMLSection {
    /// Takes over what the section says of an option; numbers that are out of range are for the options to refuse.
    fileprivate func read(_ option: ResolverOption, into options: inout ResolverOptions) throws(RecipeError) {
        switch option.kind {
        case .wholeNumber(let field, let range):
            if let number = try integer(option.name, in: range) { options[keyPath: field] = number }
        case .number(let field, _):
            if let number = try number(option.name) { options[keyPath: field] = number }
        case .automaticWholeNumber(let field, let range):
            let isAutomatic = try text(option.name) == ResolverOption.automatic
            if isAutomatic {
                options[keyPath: field] = nil
            } else if let number = try integer(option.name, in: range) {
                options[keyPath: field] = number
            }
        case .automaticNumber(let field, _):
            let isAutomatic = try text(option.name) == ResolverOption.automatic
            if isAutomatic {
                options[keyPath: field] = nil
            } else if let number = try number(option.name) {
                options[keyPath: field] = number
            }
        case .flag(let field):
            if let flag = try flag(option.name) { options[keyPath: field] = flag }
        case .seed(let field):
            if let seed = try integer(option.name, in: 0...Int.max) { options[keyPath: field] = UInt64(seed) }
        case .patterns(let field):
            if has(option.name) { options[keyPath: field] = try texts(option.name) }
        case .choice(let names, _, let set):
            if let name = try choice(option.name, of: names) { set(&options, name) }
        }
    }
}
