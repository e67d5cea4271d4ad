import Checkpoints
import Merging
import TensorCore

/// What a recipe says about how models are merged: what differs whenever the merge would compute something else.
///
/// Paths are left out, also those that are parameters: what is in their files counts, as an input.
public struct MergeSettings: Encodable, Sendable {
    let mergeMethod: String
    let dtype: String?
    let keepBase: [String]
    /// The place, among the models that are merged, of the one whose metadata the result inherits.
    let donor: Int
    /// Whether the result has its output head in the embeddings, as the configuration of the donor says; nil where there is no
    /// choice.
    package var isTied: Bool?
    let parameters: Scope
    let slices: [Slice]
    let selection: Selection?
    /// Nil when no names are mapped.
    let map: [String]?

    enum CodingKeys: String, CodingKey {
        case mergeMethod = "merge_method"
        case keepBase = "keep_base"
        case isTied = "tied"
        case dtype, donor, parameters, slices, selection, map
    }

    struct Slice: Encodable, Sendable {
        let hasBase: Bool
        let sources: [Source]
        let parameters: Scope
        let moduleParameters: Scope

        enum CodingKeys: String, CodingKey {
            case hasBase = "has_base"
            case moduleParameters = "module_parameters"
            case sources, parameters
        }
    }

    struct Source: Encodable, Sendable {
        /// Its place among the models that are merged.
        let model: Int
        let layers: [Int]?
        let parameters: Scope
    }

    /// Parameters in the order of their names, without those that are paths.
    struct Scope: Encodable, Sendable {
        private let settings: ParameterScope

        init(_ settings: ParameterScope, of method: String) {
            let paths = (try? MergeMethods.named(method))?.info.pathParameters.map(\.name) ?? []
            self.settings = settings.filter { !paths.contains($0.key) }
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Name.self)
            for (name, setting) in settings.sorted(by: { $0.key < $1.key }) {
                try container.encode(setting, forKey: Name(stringValue: name))
            }
        }

        private struct Name: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }
    }

    struct Selection: Encodable, Sendable {
        let only, exclude: [String]

        init?(_ selection: TensorSelection) {
            guard !selection.only.isEmpty || !selection.exclude.isEmpty else { return nil }
            (only, exclude) = (selection.only, selection.exclude)
        }
    }

    /// Of a recipe, with what the command line says over it.
    public init(
        _ recipe: Recipe, set: [String: ParameterValue] = [:], selection: TensorSelection = TensorSelection(),
        keepBase: [String] = [], dtype: DType? = nil
    ) {
        let method = recipe.mergeMethod
        let numbers = Dictionary(uniqueKeysWithValues: recipe.sourcePlaces.enumerated().map { ($1, $0) })
        mergeMethod = method
        self.dtype = (dtype ?? recipe.outputDType)?.rawValue
        self.keepBase = recipe.keepBase + keepBase
        donor = recipe.donorPlace.flatMap { numbers[$0] } ?? 0
        self.selection = Selection(selection)
        map = recipe.map.rules.isEmpty ? nil : recipe.map.rules
        parameters = Scope(recipe.parameters.merging(set.mapValues(ParameterSetting.value)) { $1 }, of: method)
        slices = recipe.slices.map { slice in
            Slice(
                hasBase: slice.base != nil,
                sources: slice.sources.map { source in
                    Source(
                        model: numbers[source.model] ?? -1,
                        layers: source.layers.map { [$0.lowerBound, $0.upperBound] },
                        parameters: Scope(source.parameters, of: method))
                }, parameters: Scope(slice.parameters, of: method),
                moduleParameters: Scope(slice.moduleParameters, of: method))
        }
    }

    /// Of a merge of whole models that was given on the command line.
    public init(
        method: String, parameters: MergeParameters, modelCount: Int, hasBase: Bool, keepBase: [String],
        map: NameMap, dtype: DType?, selection: TensorSelection
    ) {
        mergeMethod = method
        self.dtype = dtype?.rawValue
        self.keepBase = keepBase
        donor = 0
        self.selection = Selection(selection)
        self.map = map.rules.isEmpty ? nil : map.rules
        self.parameters = Scope(parameters.values.mapValues(ParameterSetting.value), of: method)
        let none = Scope([:], of: method)
        let sources = (0..<modelCount).map { model in
            let expert = model - (hasBase ? 1 : 0)
            let own = parameters.experts.indices.contains(expert) ? parameters.experts[expert] : [:]
            return Source(
                model: model, layers: nil, parameters: Scope(own.mapValues(ParameterSetting.value), of: method))
        }
        slices = [Slice(hasBase: hasBase, sources: sources, parameters: none, moduleParameters: none)]
    }
}
