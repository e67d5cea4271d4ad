import Checkpoints
import Merging
import SystemPackage
import TensorCore

extension Recipe {
    /// The places of the models that are merged, each once, in the order of the recipe.
    package var sourcePlaces: [Int] { slices.flatMap(\.sources).distinctPlaces }

    /// The places of the experts, each once, in the order in which the recipe first merges them.
    package var expertPlaces: [Int] { slices.expertPlaces }
    public var experts: [Model] { expertPlaces.map { models[$0] } }

    /// Opens the models that are merged.
    ///
    /// - Returns: a store for each of `models`, nil for those that are not merged.
    /// - Throws: what `open` throws.
    public func stores(opening open: (FilePath) throws -> TensorStore) throws -> [TensorStore?] {
        var stores = [TensorStore?](repeating: nil, count: models.count)
        for place in sourcePlaces { stores[place] = try open(models[place].path) }
        return stores
    }

    /// The files of the checkpoints that parameters name, such as statistics; those that cannot be read left out, which the plan
    /// refuses.
    package func parameterFiles() -> [FilePath] {
        guard let method = try? MergeMethods.named(mergeMethod).info else { return [] }
        return scopes.flatMap { method.files(named: $0.compactMapValues(\.constant)) }
    }

    /// Everything that is said about parameters, place by place.
    package var scopes: [ParameterScope] {
        [parameters] + slices.flatMap { [$0.moduleParameters, $0.parameters] + $0.experts.map(\.parameters) }
    }
}

extension MethodInfo {
    /// The files of the checkpoints that values of parameters name.
    package func files(named values: [String: ParameterValue]) -> [FilePath] {
        func paths(_ value: ParameterValue) -> [String] {
            switch value {
            case .text(let path): path.isEmpty ? [] : [path]
            case .list(let values): values.flatMap(paths)
            case .number, .flag: []
            }
        }
        return parameters.filter { $0.kind == .path }.compactMap { values[$0.name] }.flatMap(paths).flatMap {
            (try? TensorStore(opening: FilePath($0)).reader.files) ?? []
        }
    }
}

extension Recipe.Slice {
    /// The base, if there is one, and the experts.
    var sources: [Recipe.Source] { (base.map { [$0] } ?? []) + experts }
}

extension [Recipe.Slice] {
    /// The places of the experts, each once.
    var expertPlaces: [Int] { flatMap(\.experts).distinctPlaces }
}

extension [Recipe.Source] {
    /// The places of the models, each where it comes first.
    fileprivate var distinctPlaces: [Int] {
        var seen: Set<Int> = []
        return map(\.model).filter { seen.insert($0).inserted }
    }
}
