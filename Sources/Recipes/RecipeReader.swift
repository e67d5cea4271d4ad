import Checkpoints
import Experts
import Merging
import ModelFolders
import SystemPackage
import TensorCore
import Work

/// Reads one document of a recipe.
struct RecipeReader {
    let path: FilePath
    let text: String
    var warnings: [Warning] = []

    init(path: FilePath, text: String) {
        self.path = path
        self.text = text
    }

    mutating func warn(_ code: RecipeWarning, _ problem: String, at position: TextPosition?) {
        warnings.append(Warning(code, problem, file: path.string, at: position))
    }

    static let mergekitKeys = [
        "merge_method", "base_model", "models", "slices", "modules", "parameters", "dtype", "out_dtype", "name",
        "tokenizer_source", "tokenizer", "chat_template",
    ]
    static let ownKeys = ["resolve", "distill", "output", "report", "keep_base", "map", "skip_bad", "text_field"]

    mutating func recipe(from document: YAMLNode) throws(RecipeError) -> Recipe {
        let root = try YAMLSection(document, title: "the recipe", file: path)
        let method = try method(of: root)
        noteUnknownKeys(of: root, known: Self.mergekitKeys + Self.ownKeys, method: method)
        let base = try root.model("base_model")
        let resolve = try resolve(from: root)
        let distill = try distill(from: root, sharing: resolve?.auxiliary)
        let isTrained = resolve != nil || distill != nil
        var parameters = RecipeParameters(method: method, file: path)
        let common = try parameters.scope(in: root.section("parameters"))
        var layout = try layout(of: root, method: method, base: base, &parameters)
        warnings += parameters.warnings
        let isCorrected = takeBaseForCorrections(under: method, common: common, in: &layout)
        if !method.usesBase, !isCorrected {
            decideOnUnusedBase(under: method, common: common, isMeasured: isTrained, in: &layout)
        }
        try nameModels(of: &layout, namesAreFiles: resolve != nil)
        noteMissingValues(of: layout, method: method, common: common)
        try check(layout, method: method, root: root, parameters)

        let isFolder = try root.text("output")?.hasSuffix("/") ?? false
        let output = try root.path("output").map { OutputPlace($0, isFolder: isFolder) }
        let reports = try root.paths("report")
        if reports.contains(where: { $0 == output?.path }) { throw root.bad("report", "is the path of the output") }
        if layout.isStacked, isTrained {
            let key = resolve == nil ? "distill" : "resolve"
            throw RecipeError(
                .unsupported, "\(key) takes whole models, and the recipe has slices", file: path,
                at: root.position(of: key),
                hint: resolve == nil ? nil : "resolve with a recipe of its own, and stack the adapted experts")
        }
        if distill != nil, output?.isFolder == true {
            throw RecipeError(
                .unsupported, "distill writes one file, and the output is a folder", file: path,
                at: root.position(of: "output"), hint: "output: FILE.safetensors")
        }
        let outputDType = try outputDType(of: root)
        let keepBase = try root.texts("keep_base")
        let map = try map(of: root)
        let tokenizer = try tokenizer(of: root, in: &layout)
        return Recipe(
            path: path, text: text, position: root.position, name: try root.text("name"), mergeMethod: method.name,
            models: layout.models, basePlace: layout.base, slices: layout.slices, parameters: common,
            parameterPositions: parameters.positions, isStacked: layout.isStacked, outputDType: outputDType,
            keepBase: keepBase, map: map, tokenizer: tokenizer,
            tokenizerPosition: root.position(of: "tokenizer") ?? root.position(of: "tokenizer_source"),
            chatTemplate: try chatTemplate(of: root), resolve: resolve, distill: distill, output: output,
            reports: reports,
            data: DataOptions(
                skipsBad: try root.flag("skip_bad") ?? false, textField: try root.text("text_field")),
            warnings: warnings)
    }

    private func map(of root: YAMLSection) throws(RecipeError) -> NameMap {
        let rules = try root.texts("map")
        do throws(RenameError) { return try NameMap(rules) } catch {
            throw RecipeError(
                .badValue, error.message, file: path, at: root.position(of: "map"), hint: error.hint)
        }
    }

    // MARK: - The method

    /// Names that people write for a method that has another one.
    private static let otherNames = [
        "dare": "dare_ties or dare_linear", "della_ties": "della", "breadcrumbs_linear": "breadcrumbs",
        "mean": "average", "soup": "linear", "model_soup": "linear", "lerp": "linear", "weighted": "linear",
        "frankenmerge": "passthrough", "stack": "passthrough", "modelstock": "model_stock", "tsv": "tsv_m",
        "task_vectors": "task_arithmetic",
    ]

    /// Makes sure that the recipe is one, not a list of several to be compared.
    static func requireOne(_ key: String, of root: YAMLSection, file: FilePath) throws(RecipeError) {
        guard case .sequence = root.node(key)?.content else { return }
        throw RecipeError(
            .badValue, "\(key) must be one, and its list stands for several recipes", file: file,
            at: root.node(key)?.position,
            hint: "untangle compare carries out all of them; to merge, choose one")
    }

    private func method(of root: YAMLSection) throws(RecipeError) -> MethodInfo {
        try Self.requireOne("merge_method", of: root, file: path)
        guard let name = try root.text("merge_method") else {
            if root.has("gate_mode") || root.has("experts") {
                throw RecipeError(
                    .unsupported, "a mixture of experts is no merge: mergekit-moe makes it", file: path,
                    at: root.position(of: "gate_mode") ?? root.position(of: "experts"))
            }
            throw missing(
                "merge_method", "merge_method is missing", of: root,
                at: root.position(of: "merge_method") ?? root.position,
                hint: "untangle merge --list-methods")
        }
        do throws(MergeError) { return try MergeMethods.named(name).info } catch {
            throw RecipeError(
                error, file: path, at: root.position(of: "merge_method"),
                hint: Self.otherNames[name.lowercased()].map { "did you mean \($0)?" })
        }
    }

    // MARK: - Types, tokenizer

    private static let dtypes: [(name: String, dtype: DType)] = [
        ("float16", .f16), ("bfloat16", .bf16), ("float32", .f32), ("float64", .f64),
    ]
    private static let otherDTypes = [
        "fp16": "float16", "half": "float16", "f16": "float16", "bf16": "bfloat16", "bfloat": "bfloat16",
        "fp32": "float32", "f32": "float32", "float": "float32", "full": "float32", "fp64": "float64",
        "f64": "float64", "double": "float64",
    ]

    private func outputDType(of root: YAMLSection) throws(RecipeError) -> DType? {
        var chosen: DType?
        for key in ["dtype", "out_dtype"] {
            guard let text = try root.text(key) else { continue }
            let name = text.hasPrefix("torch.") ? String(text.dropFirst("torch.".count)) : text
            guard let known = Self.dtypes.first(where: { $0.name == name }) else {
                let names = Self.dtypes.map(\.name).joined(separator: ", ")
                throw RecipeError(
                    .badValue, "\(key) must be one of \(names), not \"\(text)\"", file: path,
                    at: root.position(of: key),
                    hint: (Self.otherDTypes[name.lowercased()]
                        ?? nearestName(to: name.lowercased(), among: Self.dtypes.map(\.name)))
                        .map { "did you mean \($0)?" })
            }
            chosen = known.dtype
        }
        return chosen
    }

    private mutating func tokenizer(
        of root: YAMLSection, in layout: inout RecipeLayout
    ) throws(RecipeError) -> Recipe.TokenizerChoice? {
        let short = try tokenizerSource("tokenizer_source", of: root, in: &layout)
        if let text = root.node("tokenizer")?.scalar, root.node("tokenizer")?.isNull == false {
            throw RecipeError(
                .badValue, "tokenizer must be a mapping of keys to values", file: path,
                at: root.position(of: "tokenizer"),
                hint: "tokenizer_source: \(text.text.escapingControlCharacters)")
        }
        guard let section = try root.section("tokenizer") else { return short }
        guard short == nil else {
            throw root.bad("tokenizer", "and tokenizer_source say the same thing; keep one of them")
        }
        noteUnknownKeys(of: section, known: ["source", "tokens", "pad_to_multiple_of"])
        for key in ["tokens", "pad_to_multiple_of"] {
            guard let node = section.node(key), !node.isNull else { continue }
            throw RecipeError(
                .unsupported, "tokenizer: \(key) would change the vocabulary, and embeddings keep their rows here",
                file: path, at: section.position(of: key), hint: "leave it out, and change the vocabulary of the result"
            )
        }
        return try tokenizerSource("source", of: section, in: &layout) ?? .union
    }

    private func tokenizerSource(
        _ key: String, of section: YAMLSection, in layout: inout RecipeLayout
    ) throws(RecipeError) -> Recipe.TokenizerChoice? {
        guard let reference = try section.model(key) else { return nil }
        switch reference.text {
        case "base": return .base
        case "union": return .union
        default: return .model(layout.place(of: reference))
        }
    }

    private func chatTemplate(of root: YAMLSection) throws(RecipeError) -> ChatTemplate? {
        guard let text = try root.text("chat_template") else { return nil }
        do { return try ChatTemplate(text) } catch {
            throw RecipeError(
                .badValue, error.message, file: path, at: root.position(of: "chat_template"), hint: error.hint)
        }
    }
}
