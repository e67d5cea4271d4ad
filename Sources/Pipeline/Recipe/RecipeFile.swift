import Interference
import Merging
import Networks
import SystemPackage
import TensorCore
import Yams

/// Reads a recipe from YAML.
///
/// An unknown key in our own sections is an error that names the nearest known key. Among mergekit's keys it is a warning that does,
/// because public recipes are full of keys without effect.
public struct RecipeFile {
    private let path: FilePath
    private var warnings: [String] = []

    /// - Parameter strict: unknown keys among mergekit's are errors, too.
    /// - Throws: `RecipeError` with the line at fault, `IOError` when the file cannot be read.
    public static func load(_ path: FilePath, strict: Bool = false) throws -> Recipe {
        let bytes = try MappedFile(path).withUnsafeBytes { Array($0) }
        // Editors of some systems begin UTF-8 with a byte order mark, at which the parser would stop.
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        guard let text = String(validating: bytes.dropFirst(bytes.starts(with: mark) ? 3 : 0), as: UTF8.self) else {
            throw RecipeError(.syntax, "the recipe is not valid UTF-8", file: path)
        }
        return try parse(text, path: path, strict: strict)
    }

    /// Reads a recipe from its text; `path` locates relative paths and names the file in errors.
    public static func parse(_ text: String, path: FilePath, strict: Bool = false) throws(RecipeError) -> Recipe {
        var file = RecipeFile(path: path)
        let recipe = try file.recipe(from: text)
        if strict, let warning = recipe.warnings.first {
            throw RecipeError(.unknownKey, warning, file: path, hint: "--strict turns warnings into errors")
        }
        return recipe
    }

    private init(path: FilePath) { self.path = path }

    // MARK: - The whole file

    private static let mergekitKeys = [
        "merge_method", "base_model", "models", "parameters", "dtype", "out_dtype", "name", "slices", "modules",
        "tokenizer_source", "tokenizer", "chat_template",
    ]
    private static let ownKeys = ["resolve", "output", "report"]

    private mutating func recipe(from text: String) throws(RecipeError) -> Recipe {
        let root = try YAMLSection(rootNode(of: text), title: "the recipe", file: path)
        for key in ["slices", "modules", "tokenizer_source", "tokenizer", "chat_template"] where root.node(key) != nil {
            throw RecipeError(
                .unsupported, "\"\(key)\" is not supported by this version", file: path, line: root.line(of: key),
                hint: "list whole checkpoints under models")
        }
        noteUnknownKeys(of: root, known: Self.mergekitKeys + Self.ownKeys)
        guard let method = try root.text("merge_method") else {
            throw RecipeError(.missingKey, "merge_method is missing", file: path, hint: "untangle merge --list-methods")
        }
        let base = try root.path("base_model")
        guard let nodes = try root.list("models"), !nodes.isEmpty else {
            throw RecipeError(.missingKey, "models is missing or empty", file: path, line: root.line(of: "models"))
        }
        var listed: [ListedModel] = []
        for node in nodes { listed.append(try model(from: node)) }
        if (try? MergeMethods.named(method))?.info.usesBase ?? true {
            // mergekit's recipes often list the base among the models; there it is the base and no expert.
            listed.removeAll { $0.model.path == base }
        } else if base != nil, !listed.contains(where: { $0.model.path == base }), root.node("resolve") == nil,
            !listed.contains(where: { $0.model.data != nil })
        {
            warnings.append("base_model has no effect under \(method)")
        }
        try requireDistinctNames(listed)
        let parameters = try parameters(of: root, models: listed, method: method)
        let (output, report) = (try root.path("output"), try root.path("report"))
        if let report, report == output { throw root.bad("report", "is the path of the output") }
        return Recipe(
            path: path, mergeMethod: method, baseModel: base, models: listed.map(\.model), parameters: parameters,
            outputDType: try outputDType(of: root), resolve: try resolve(from: root), output: output,
            outputIsFolder: try root.text("output")?.hasSuffix("/") ?? false, report: report, warnings: warnings)
    }

    private func rootNode(of text: String) throws(RecipeError) -> Node {
        do {
            guard let node = try Yams.compose(yaml: text) else {
                throw RecipeError(.syntax, "the recipe is empty", file: path)
            }
            return node
        } catch let error as RecipeError {
            throw error
        } catch let error as YamlError {
            throw RecipeError(.syntax, error.problem, file: path, line: error.line)
        } catch {
            throw RecipeError(.syntax, "\(error)", file: path)
        }
    }

    private mutating func noteUnknownKeys(of section: YAMLSection, known: [String]) {
        for error in section.unknownKeys(known: known) {
            warnings.append("\(error.message), ignored" + (error.hint.map { " (\($0))" } ?? ""))
        }
    }

    private func outputDType(of root: YAMLSection) throws(RecipeError) -> DType? {
        for key in ["out_dtype", "dtype"] {
            guard let name = try root.text(key) else { continue }
            switch name {
            case "float16": return .f16
            case "bfloat16": return .bf16
            case "float32": return .f32
            case "float64": return .f64
            default: throw root.bad(key, "must be float16, bfloat16, float32 or float64, not \"\(name)\"")
            }
        }
        return nil
    }

    // MARK: - Models

    private struct ListedModel {
        let model: Recipe.Model
        let parameters: YAMLSection?
        let line: Int?
    }

    private mutating func model(from node: Node) throws(RecipeError) -> ListedModel {
        let section = try YAMLSection(node, title: "an entry of models", file: path)
        noteUnknownKeys(of: section, known: ["model", "name", "head", "data", "parameters"])
        guard let model = try section.path("model") else {
            throw RecipeError(.missingKey, "an entry of models has no \"model\"", file: path, line: section.line)
        }
        return ListedModel(
            model: Recipe.Model(
                path: model, name: try section.text("name") ?? model.stem ?? model.string,
                head: try section.path("head"),
                data: try section.path("data")),
            parameters: try section.section("parameters"), line: section.line)
    }

    private func requireDistinctNames(_ models: [ListedModel]) throws(RecipeError) {
        var seen: Set<String> = []
        for model in models where !seen.insert(model.model.name).inserted {
            throw RecipeError(
                .duplicateName, "two models are called \"\(model.model.name)\"", file: path, line: model.line,
                hint: "give each a name: of its own")
        }
    }

    private mutating func parameters(
        of root: YAMLSection, models: [ListedModel], method: String
    ) throws(RecipeError) -> MergeParameters {
        var reader = RecipeParameters(method: (try? MergeMethods.named(method))?.info, file: path)
        var experts: [[String: ParameterValue]] = []
        let common = try reader.values(in: root.section("parameters"))
        for model in models { experts.append(try reader.values(in: model.parameters)) }
        warnings += reader.warnings
        return MergeParameters(common, experts: experts)
    }

    // MARK: - Resolving

    private static let resolveKeys = [
        "auxiliary", "auxiliary_count", "steps", "batch_size", "learning_rate", "weight_decay", "alpha", "distance",
        "schedule", "shuffle", "seed", "preset", "output",
    ]

    private func resolve(from root: YAMLSection) throws(RecipeError) -> Recipe.Resolve? {
        guard root.node("resolve") != nil else { return nil }
        guard let section = try root.section("resolve") else {
            throw RecipeError(
                .missingKey, "resolve is empty", file: path, line: root.line(of: "resolve"),
                hint: "auxiliary: FILE.npz, or auxiliary: noise")
        }
        if let error = section.unknownKeys(known: Self.resolveKeys).first { throw error }
        guard let auxiliary = try section.path("auxiliary") else {
            throw RecipeError(
                .missingKey, "resolve has no auxiliary inputs", file: path, line: section.line,
                hint: "auxiliary: FILE.npz, or auxiliary: noise")
        }
        var options = ResolverOptions()
        if let name = try section.text("preset") {
            guard name == "paper" else { throw section.bad("preset", "must be paper, not \"\(name)\"") }
            options = .paper
        }
        if let steps = try section.integer("steps", in: 1...1_000_000_000) { options.steps = steps }
        if let size = try section.integer("batch_size", in: 1...1_000_000) { options.batchSize = size }
        if let rate = try section.number("learning_rate") { options.learningRate = rate }
        if let decay = try section.number("weight_decay") { options.weightDecay = decay }
        if let alpha = try section.number("alpha") { options.alpha = alpha }
        if let distance = try section.choice("distance", Distance.self) { options.distance = distance }
        if let schedule = try section.choice("schedule", LearningRateSchedule.self) { options.schedule = schedule }
        let seed = UInt64(try section.integer("seed", in: 0...Int.max) ?? 0)
        if try section.flag("shuffle") ?? false { options.order = .shuffled(seed: seed) }
        do throws(InterferenceError) { try options.validate() } catch {
            throw RecipeError(.badValue, error.message, file: path, line: section.line, hint: error.hint)
        }
        let count = try section.integer("auxiliary_count", in: 1...1_000_000_000) ?? AuxiliarySource.defaultNoiseCount
        let isNoise = try section.text("auxiliary") == "noise"
        let source: AuxiliarySource = isNoise ? .noise(count: count, seed: seed) : .file(auxiliary)
        return Recipe.Resolve(auxiliary: source, options: options, output: try section.path("output"))
    }
}

extension YamlError {
    /// What the parser says is wrong.
    fileprivate var problem: String {
        switch self {
        case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _),
            .reader(let problem, _, _, _), .writer(let problem), .emitter(let problem), .representer(let problem):
            problem
        case .duplicatedKeysInMapping(let duplicates, _):
            "the key \"\(duplicates.first ?? "")\" appears twice in the mapping that begins here"
        default: "\(self)"
        }
    }

    fileprivate var line: Int? {
        switch self {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark.line
        case .duplicatedKeysInMapping(_, let context): context.mark.line
        default: nil
        }
    }
}
