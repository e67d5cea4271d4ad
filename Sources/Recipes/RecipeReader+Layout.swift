import Merging
import TensorCore

/// What is merged with what, as it was read.
struct RecipeLayout {
    /// The models that were named, each once.
    var models: [Recipe.Model] = []
    private var places: [ModelReference.Identity: Int] = [:]
    /// The place of the recipe's base.
    private(set) var base: Int?
    /// The models whose name was written and not made up, by their place.
    var named: Set<Int> = []
    var slices: [Recipe.Slice] = []
    var isStacked = false
    /// Where the models or slices stand.
    var position: TextPosition?

    init(base: ModelReference?) {
        if let base { self.base = place(of: base) }
    }

    /// The place of a model, at the end when it was not named before.
    mutating func place(of reference: ModelReference) -> Int {
        if let place = places[reference.identity] { return place }
        places[reference.identity] = models.count
        models.append(Recipe.Model(reference: reference, name: reference.defaultName))
        return models.count - 1
    }

    /// All of a model about which nothing more is said.
    func whole(_ model: Int) -> Recipe.Source {
        Recipe.Source(model: model, parameters: [:], position: models[model].reference.position)
    }

    func text(of source: Recipe.Source) -> String { models[source.model].reference.text }
}

extension RecipeReader {
    mutating func layout(
        of root: YAMLSection, method: MethodInfo, base: ModelReference?, _ parameters: inout RecipeParameters
    ) throws(RecipeError) -> RecipeLayout {
        let forms = ["models", "slices", "modules"].filter(root.has)
        if forms.count > 1 {
            throw RecipeError(
                .badValue, "\(forms.joined(separator: " and ")) are given, and a recipe has one of them", file: path,
                at: forms.compactMap(root.position(of:)).max(),
                hint: "slices say which layers are merged; models take all layers")
        }
        guard forms.first == "modules" else {
            return try layout(in: root, moduleParameters: [:], method: method, base: base, &parameters)
        }
        guard let modules = try root.section("modules"), let key = modules.keys.first else {
            throw root.bad("modules", "is empty")
        }
        guard modules.keys.count == 1 else {
            throw RecipeError(
                .unsupported, "modules with a recipe each are not supported: there are \(modules.keys.count)",
                file: path, at: root.position(of: "modules"),
                hint: "list whole checkpoints under models, and give parameters that differ by filter")
        }
        guard let module = try modules.section(key.key) else {
            throw RecipeError(
                .missingKey, "the module \(key.key.escapingControlCharacters) is empty", file: path, at: key.position,
                hint: "list what to merge under its models or slices")
        }
        noteUnknownKeys(of: module, known: ["models", "slices", "parameters"], method: method)
        if module.has("slices"), module.has("models") {
            throw RecipeError(
                .badValue, "models and slices are given, and a module has one of them", file: path,
                at: module.position(of: "slices"))
        }
        let own = try parameters.scope(in: module.section("parameters"))
        return try layout(in: module, moduleParameters: own, method: method, base: base, &parameters)
    }

    private mutating func layout(
        in section: YAMLSection, moduleParameters: ParameterScope, method: MethodInfo, base: ModelReference?,
        _ parameters: inout RecipeParameters
    ) throws(RecipeError) -> RecipeLayout {
        let key = section.has("slices") ? "slices" : "models"
        guard let nodes = try section.list(key), !nodes.isEmpty else {
            throw missing(
                key, "\(key) is missing or empty", of: section, at: section.position(of: key),
                hint: "list what to merge under models, or layers of models under slices")
        }
        var layout = RecipeLayout(base: base)
        (layout.isStacked, layout.position) = (key == "slices", section.position(of: key))
        if layout.isStacked {
            for node in nodes {
                try addSlice(from: node, method: method, to: &layout, &parameters)
            }
        } else {
            try addModels(from: nodes, method: method, to: &layout, &parameters)
        }
        for index in layout.slices.indices { layout.slices[index].moduleParameters = moduleParameters }
        return layout
    }

    // MARK: - Whole models

    private mutating func addModels(
        from nodes: [YAMLNode], method: MethodInfo, to layout: inout RecipeLayout, _ parameters: inout RecipeParameters
    ) throws(RecipeError) {
        var slice = Recipe.Slice(experts: [], parameters: [:], moduleParameters: [:], position: layout.position)
        if method.usesBase { slice.base = layout.base.map(layout.whole) }
        var listed: [Int: TextPosition] = [:]
        for node in nodes {
            let section = try YAMLSection(node, title: "an entry of models", file: path, hint: "- model: PATH")
            noteUnknownKeys(
                of: section, known: ["model", "name", "head", "data", "parameters"], method: method)
            let source = try source(from: section, of: "models", in: &layout, &parameters)
            // mergekit's recipes often list the base among the models; there it is the base and no expert.
            if source.model == slice.base?.model {
                if let key = source.parameters.keys.min() {
                    warn(
                        .noEffect, "\(key) has no effect under the base model, ignored",
                        at: section.position(of: "parameters"))
                }
                continue
            }
            if let other = listed.updateValue(section.position, forKey: source.model) {
                throw RecipeError(
                    .duplicateName, "the model \(layout.text(of: source)) is listed twice", file: path,
                    at: source.position, hint: "the first time on \(other)")
            }
            slice.experts.append(source)
            if let name = try section.text("name") {
                layout.named.insert(source.model)
                layout.models[source.model].name = name
            }
            layout.models[source.model].head = try section.path("head")
            layout.models[source.model].data = try section.path("data")
        }
        layout.slices = [slice]
    }

    private func source(
        from section: YAMLSection, of list: String, in layout: inout RecipeLayout,
        _ parameters: inout RecipeParameters
    ) throws(RecipeError) -> Recipe.Source {
        guard let reference = try section.model("model") else {
            throw RecipeError(
                .missingKey, "an entry of \(list) has no \"model\"", file: path, at: section.position,
                hint: "- model: PATH")
        }
        return Recipe.Source(
            model: layout.place(of: reference),
            parameters: try parameters.scope(in: section.section("parameters"), ofOneModel: true),
            position: section.position)
    }

    // MARK: - Slices

    private mutating func addSlice(
        from node: YAMLNode, method: MethodInfo, to layout: inout RecipeLayout, _ parameters: inout RecipeParameters
    ) throws(RecipeError) {
        let section = try YAMLSection(node, title: "an entry of slices", file: path)
        noteUnknownKeys(
            of: section, known: ["sources", "base_model", "parameters", "residual_weight"], method: method)
        if section.has("residual_weight") {
            warn(
                .noEffect, "residual_weight has no effect, in mergekit neither",
                at: section.position(of: "residual_weight"))
        }
        guard let nodes = try section.list("sources"), !nodes.isEmpty else {
            throw RecipeError(
                .missingKey, "a slice has no sources", file: path, at: section.position,
                hint: "sources: [{ model: PATH, layer_range: [0, 8] }]")
        }
        var slice = Recipe.Slice(
            experts: [], parameters: try parameters.scope(in: section.section("parameters")), moduleParameters: [:],
            position: section.position)
        let ownBase = try section.model("base_model")
        let base = method.usesBase ? ownBase.map { layout.place(of: $0) } ?? layout.base : nil
        for node in nodes {
            let section = try YAMLSection(
                node, title: "an entry of sources", file: path, hint: "- { model: PATH, layer_range: [0, 8] }")
            noteUnknownKeys(of: section, known: ["model", "layer_range", "parameters"], method: method)
            var source = try source(from: section, of: "sources", in: &layout, &parameters)
            source.layers = try layerRange(of: section)
            try requireSameLength(source, as: slice.base ?? slice.experts.first, in: layout)
            if slice.base == nil, source.model == base {
                slice.base = source
            } else {
                slice.experts.append(source)
            }
        }
        if slice.base == nil, let base {
            let text = layout.models[base].reference.text
            throw RecipeError(
                .missingKey, "base_model \(text) is not among the sources of the slice", file: path,
                at: slice.position,
                hint: "add it with the layers that the others are compared with: "
                    + "- { model: \(text), layer_range: [...] }")
        }
        layout.slices.append(slice)
    }

    private func layerRange(of section: YAMLSection) throws(RecipeError) -> Range<Int> {
        guard let nodes = try section.list("layer_range") else {
            throw RecipeError(
                .missingKey, "a source has no layer_range", file: path, at: section.position,
                hint: "layer_range: [FIRST, ONE BEHIND THE LAST]")
        }
        let bounds = nodes.compactMap { $0.scalar.flatMap { Int($0.text) } }
        guard nodes.count == 2, bounds.count == 2, bounds[0] >= 0, bounds[0] < bounds[1], bounds[1] <= 1_000_000 else {
            throw section.bad(
                "layer_range", "must be two whole numbers, the first layer and the one behind the last: [0, 8]")
        }
        return bounds[0]..<bounds[1]
    }

    private func requireSameLength(
        _ source: Recipe.Source, as first: Recipe.Source?, in layout: RecipeLayout
    ) throws(RecipeError) {
        guard let layers = source.layers, let first, let firstLayers = first.layers, layers.count != firstLayers.count
        else { return }
        throw RecipeError(
            .badValue,
            "layer_range of \(layout.text(of: source)) has \(layers.count) layers, that of \(layout.text(of: first)) "
                + "\(firstLayers.count): the sources of a slice must have equally many",
            file: path, at: source.position)
    }
}
