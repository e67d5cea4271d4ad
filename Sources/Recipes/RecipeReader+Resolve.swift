import Experts
import Interference
import TensorCore

extension RecipeReader {
    private static let resolveKeys =
        ["auxiliary", "auxiliary_count", "preset"] + ResolverOption.all.map(\.name) + ["output", "save_every"]

    private static let auxiliaryHint =
        "auxiliary: FILE or FOLDER, or one of " + GeneratedInputs.Kind.allCases.map(\.rawValue).joined(separator: ", ")

    /// The section of Resolving Interference.
    func resolve(from root: YAMLSection) throws(RecipeError) -> Recipe.Resolve? {
        guard root.node("resolve") != nil else { return nil }
        try Self.requireOne("resolve", of: root, file: path)
        guard let section = try root.section("resolve") else {
            throw RecipeError(
                .missingKey, "resolve is empty", file: path, at: root.position(of: "resolve"),
                hint: Self.auxiliaryHint)
        }
        if let unknown = section.unknownKeys(known: Self.resolveKeys).first { throw unknown.error }
        guard let auxiliary = try section.path("auxiliary") else {
            throw RecipeError(
                .missingKey, "resolve has no auxiliary inputs", file: path, at: section.position,
                hint: Self.auxiliaryHint)
        }
        var options = try section.choice("preset", ResolverPreset.self)?.options ?? ResolverOptions()
        for option in ResolverOption.all { try section.read(option, into: &options) }
        do throws(InterferenceError) { try options.validate() } catch {
            throw RecipeError(.badValue, error.message, file: path, at: section.position, hint: error.hint)
        }
        let count =
            try section.integer("auxiliary_count", in: GeneratedInputs.counts) ?? GeneratedInputs.defaultCount
        let kind = try section.text("auxiliary").flatMap(GeneratedInputs.Kind.init)
        let source: AuxiliarySource =
            kind.map { .generated(GeneratedInputs($0, count: count, seed: options.seed)) } ?? .file(auxiliary)
        return Recipe.Resolve(
            auxiliary: source, options: options, output: try section.path("output"),
            saveEvery: try section.integer("save_every", in: Resolver.Saving.intervals))
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
        case .choice(let names, _, let set):
            if let name = try choice(option.name, of: names) { set(&options, name) }
        }
    }
}
