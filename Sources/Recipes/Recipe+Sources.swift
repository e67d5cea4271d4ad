import Checkpoints
import Merging
import SystemPackage
import TensorCore
import Work

extension Recipe {
    /// The places of the models that are merged, each once, in the order of the recipe.
    package var sourcePlaces: [Int] { slices.flatMap(\.sources).distinctPlaces }

    /// The places of the experts, each once, in the order in which the recipe first merges them.
    package var expertPlaces: [Int] { slices.expertPlaces }
    public var experts: [Model] { expertPlaces.map { models[$0] } }

    /// Opens the models that are merged, under the names that the recipe maps theirs to.
    ///
    /// - Parameter warn: told of maps that change no name.
    /// - Returns: a store for each of `models`, nil for those that are not merged.
    /// - Throws: what `open` throws; `input.duplicate_name`.
    public func stores(
        warn: (Warning) -> Void, opening open: (FilePath) throws -> TensorStore
    ) throws -> [TensorStore?] {
        var stores = [TensorStore?](repeating: nil, count: models.count)
        let places = sourcePlaces
        for place in places { stores[place] = try open(models[place].path) }
        let first = donorPlace ?? places.first
        guard let first, let reference = stores[first] else { return stores }
        let others = places.filter { $0 != first }
        let renamed = try map.applied(to: others.compactMap { stores[$0] }, toMatch: reference, warn: warn)
        for (place, store) in zip(others, renamed) { stores[place] = store }
        return stores
    }

    /// The files that parameters name, such as statistics, by the experts that they are given for.
    ///
    /// - Parameter fixed: values that go before everything the recipe says.
    package func parameterInputs(fixed: [String: ParameterValue] = [:]) -> [JobInput] {
        guard let method = try? MergeMethods.named(mergeMethod).info else { return [] }
        return slices.enumerated().flatMap { number, slice in
            // Values that depend on layers are no paths.
            let parameters = SliceParameters(
                method: method, slice: slice, common: parameters, layers: .whole(counts: [:])
            ).parameters(fixed: fixed)
            return method.inputs(
                named: parameters, expertCount: slice.experts.count,
                in: slices.count > 1 ? " of slice \(number + 1)" : "")
        }
    }

    /// Everything that is said about parameters, place by place.
    package var scopes: [ParameterScope] {
        [parameters] + slices.flatMap { [$0.moduleParameters, $0.parameters] + $0.experts.map(\.parameters) }
    }
}

extension MethodInfo {
    var pathParameters: [ParameterSpec] { parameters.filter { $0.kind == .path } }

    /// The files that parameters name, by the experts that they are given for; of checkpoints that cannot be read none, which the
    /// plan refuses.
    ///
    /// - Parameter place: what tells the experts from others, in words behind them.
    package func inputs(named values: MergeParameters, expertCount: Int, in place: String = "") -> [JobInput] {
        pathParameters.flatMap { spec in
            (0..<expertCount).compactMap { expert in
                guard let path = values.path(spec.name, ofExpert: expert) else { return nil }
                let files = (try? TensorStore(opening: path))?.reader.files ?? []
                return JobInput("\(spec.name) of expert \(expert + 1)\(place)", files)
            }
        }
    }
}

extension MergeParameters {
    fileprivate func path(_ name: String, ofExpert expert: Int) -> FilePath? {
        let own = experts.indices.contains(expert) ? experts[expert][name] : nil
        return switch own ?? values[name] {
        case .text(let path): FilePath(path)
        case .list(let paths):
            if paths.indices.contains(expert), case .text(let path) = paths[expert] { FilePath(path) } else { nil }
        case .number, .flag, nil: nil
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
