import Checkpoints
import Kernels
import Merging
import ModelFolders
import Recipes
import SystemPackage
import TensorCore
import Work

extension MergeJob {
    /// Plans what a recipe says, slice by slice.
    ///
    /// - Parameters:
    ///   - stores: the models of the recipe, as `Recipe.stores(opening:)` gives them.
    ///   - settings: parameters that go before everything the recipe says.
    ///   - keepBase: patterns beside those of the recipe.
    ///   - outputDType: goes before that of the recipe.
    /// - Throws: `RecipeError` with the place at fault; what `MergePlan` throws.
    public init(
        _ recipe: Recipe, stores: [TensorStore?], settings: [String: ParameterValue] = [:],
        selection: TensorSelection = TensorSelection(), keepBase: [String] = [], outputDType: DType? = nil,
        target: OutputTarget? = nil, in context: Context
    ) throws {
        let method = try MergeMethods.named(recipe.mergeMethod)
        try recipe.checkVocabularies()
        try recipe.checkCorrections(settings)
        let (models, places) = try recipe.inputs(from: stores)
        if MergeMethods.keepsParts(recipe.mergeMethod) {
            try WeightsError.requireOneQuantization(of: models.models.map { ($0.name, $0.original) })
        }
        var plans: [MergePlan] = []
        var origins = TensorOrigins()
        var firstLayer = 0
        for (place, slice) in recipe.slices.enumerated() {
            let cut = SliceCut(
                recipe: recipe, slice: slice, inputs: models, places: places, firstLayer: firstLayer,
                isFirst: place == 0, isLast: place == recipe.slices.count - 1)
            let base = try slice.base.map(cut.store)
            let experts = try slice.experts.map { source in
                (name: recipe.models[source.model].name, store: try cut.store(of: source))
            }
            let parameters = SliceParameters(
                method: method.info, slice: slice, common: recipe.parameters, layers: try cut.layers()
            ).parameters(fixed: settings)
            do {
                let plan = try models.explaining {
                    try MergePlan(
                        method: method, base: base, experts: experts, parameters: parameters, selection: selection,
                        keepBase: TensorPatterns(recipe.keepBase + keepBase),
                        outputDType: outputDType ?? recipe.outputDType, budget: context.budget,
                        memory: context.memory)
                }
                plans.append(plan)
                let sources = cut.sources
                for output in plan.outputs {
                    origins.add(output.name, from: plan.keeps(output.name) ? Array(sources.prefix(1)) : sources)
                }
            } catch let error as MergeError {
                // The recipe is not to blame for what the command line says of a parameter.
                let isSet =
                    error.reason == .unsupportedDtype
                    ? outputDType != nil
                    : error.parameter.map { settings[$0] != nil } ?? (error.severity == .usage && !settings.isEmpty)
                if isSet { throw error }
                let position = error.parameter.flatMap { recipe.parameterPositions[$0] } ?? slice.position
                throw RecipeError(error, file: recipe.path, at: position)
            }
            firstLayer += cut.layerCount
        }
        let folder = FolderOptions(
            recipe: recipe.text, isRecipeShared: recipe.isIntermediate,
            overrides: RecipeOverrides.options(
                settings: settings, selection: selection, keepBase: keepBase, outputDType: outputDType),
            tokenizer: recipe.tokenizerModel?.path, chatTemplate: recipe.chatTemplate)
        self.init(
            plan: try StackedMerge(plans),
            settings: MergeSettings(
                recipe, set: settings, selection: selection, keepBase: keepBase, dtype: outputDType),
            target: target, folder: folder, models: models,
            parameterInputs: recipe.parameterInputs(fixed: settings), origins: origins, budget: context.budget,
            warnings: recipe.warningsOfFilters(among: models.models.flatMap { $0.store.descriptors.map(\.name) }))
    }
}

/// Cuts the layers of one slice out of the models.
private struct SliceCut {
    let recipe: Recipe
    let slice: Recipe.Slice
    let inputs: MergeInputs
    /// Where the models of the recipe are among the inputs.
    let places: [Int?]
    /// The number of the slice's first layer in the result.
    let firstLayer: Int
    let isFirst: Bool
    let isLast: Bool

    /// 0 for whole models.
    var layerCount: Int { (slice.base ?? slice.experts.first)?.layers?.count ?? 0 }

    func store(of source: Recipe.Source) throws -> TensorStore {
        guard let whole = whole(source) else {
            preconditionFailure("the models of a recipe are opened before it is planned")
        }
        guard let layers = source.layers else { return whole }
        let stack = try stack(of: whole, source)
        guard layers.upperBound <= stack.count else {
            throw RecipeError(
                .badValue,
                "layer_range [\(layers.lowerBound), \(layers.upperBound)] goes beyond the \(stack.count) layers of "
                    + recipe.models[source.model].reference.text, file: recipe.path, at: source.position)
        }
        if layers == 0..<stack.count, isFirst, isLast { return whole }
        return TensorStore(
            CheckpointView(
                of: whole.reader, layers: layers, firstLayer: firstLayer, includesTensorsBefore: isFirst,
                includesTensorsBehind: isLast))
    }

    private func whole(_ source: Recipe.Source) -> TensorStore? {
        places[source.model].map { inputs.models[$0].store }
    }

    /// Where the tensors of the slice come from.
    var sources: [TensorOrigins.Source] {
        ((slice.base.map { [($0, true)] } ?? []) + slice.experts.map { ($0, false) }).compactMap { source, isBase in
            places[source.model].map { TensorOrigins.Source(model: $0, isBase: isBase) }
        }
    }

    private func stack(of store: TensorStore, _ source: Recipe.Source) throws(RecipeError) -> LayerStack {
        let stacks = LayerStack.all(in: store.descriptors)
        guard let stack = stacks.first, stacks.count == 1 else {
            let found =
                stacks.isEmpty
                ? "no layers: no tensor name has a number between dots"
                : "\(stacks.count) stacks of layers (\(stacks.prefix(3).map(\.prefix).joined(separator: ", ")))"
            throw RecipeError(
                .unsupported,
                "slices need a model with one stack of layers, and \(recipe.models[source.model].reference.text) has "
                    + found, file: recipe.path, at: source.position, hint: "list whole checkpoints under models")
        }
        return stack
    }

    func layers() throws -> SliceLayers {
        guard let first = slice.base ?? slice.experts.first, let store = whole(first) else {
            return .whole(counts: [:])
        }
        guard first.layers != nil else {
            let stacks = LayerStack.all(in: store.descriptors)
            return .whole(counts: Dictionary(uniqueKeysWithValues: stacks.map { ($0.prefix, $0.count) }))
        }
        return .moved(
            first: firstLayer, count: layerCount, expertFirst: slice.experts.map { $0.layers?.lowerBound ?? 0 })
    }
}

extension Recipe {
    /// Whether the command line asks for what the recipe was not read for: a scaling by depth, or another correction of changes.
    fileprivate func checkCorrections(_ settings: [String: ParameterValue]) throws(RecipeError) {
        guard let name = MergeMethods.commonParameters.map(\.name).first(where: { settings[$0] != nil }) else { return }
        let isByDepth = MergeMethods.depthParameters.contains { settings[$0.name] != nil }
        if slices.count > 1, isByDepth { throw RecipeError.scalingOfSlices(file: path, at: slices[1].position) }
        guard let baseModel, slices.contains(where: { $0.base == nil }) else { return }
        throw RecipeError(
            .unsupported, "\(name) on the command line does not bring the base into a merge with \(mergeMethod)",
            file: path, at: baseModel.reference.position, hint: "write it under parameters: of the recipe")
    }

    /// The models as they take part, together with their folders, and the places of the recipe's models among them.
    fileprivate func inputs(from stores: [TensorStore?]) throws -> (MergeInputs, places: [Int?]) {
        let base = slices.lazy.compactMap(\.base).first?.model
        let experts = sourcePlaces.filter { $0 != base }
        let inputs = try MergeInputs(
            base: base.flatMap { stores[$0] },
            experts: experts.compactMap { place in stores[place].map { (name: models[place].name, store: $0) } },
            donor: experts.firstIndex { $0 == donorPlace } ?? 0)
        var places = [Int?](repeating: nil, count: models.count)
        for (place, model) in ((base.map { [$0] } ?? []) + experts).enumerated() { places[model] = place }
        return (inputs, places)
    }

    /// Warns of filters that are part of no tensor's name, as after a slip of the pen.
    fileprivate func warningsOfFilters(among names: [TensorName]) -> [Warning] {
        var seen: Set<Warning> = []
        return scopes.flatMap { scope in
            scope.sorted { $0.key < $1.key }.flatMap { name, setting in
                setting.unmatchedFilters(among: names).map { filter in
                    Warning(
                        RecipeWarning.unusedFilter,
                        "the filter \"\(filter.escapingControlCharacters)\" of \(name) is part of no tensor's name",
                        at: parameterPositions[name])
                }
            }
        }.filter { seen.insert($0).inserted }
    }
}
