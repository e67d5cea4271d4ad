import Checkpoints
import Merging
import SystemPackage
import TensorCore

extension Recipe {
    /// The models that are merged, each once, in the order of the recipe.
    package var sourcePaths: [FilePath] {
        var seen: Set<FilePath> = []
        return slices.flatMap { ($0.base.map { [$0] } ?? []) + $0.experts }.map(\.reference.path).filter {
            seen.insert($0).inserted
        }
    }

    /// Opens the models that are merged, each once.
    ///
    /// - Throws: what `open` throws.
    public func stores(opening open: (FilePath) throws -> TensorStore) throws -> [FilePath: TensorStore] {
        var stores: [FilePath: TensorStore] = [:]
        for path in sourcePaths { stores[path] = try open(path) }
        return stores
    }

    /// The files of the checkpoints that parameters name, such as statistics; those that cannot be read left out, which the plan
    /// refuses.
    package func parameterFiles() -> [FilePath] {
        guard let method = try? MergeMethods.named(mergeMethod).info else { return [] }
        let names = method.parameters.filter { $0.kind == .path }.map(\.name)
        return scopes.flatMap { scope in names.compactMap { scope[$0]?.constant } }.flatMap { value -> [FilePath] in
            guard case .text(let path) = value, !path.isEmpty else { return [] }
            return (try? TensorStore(opening: FilePath(path)).reader.files) ?? []
        }
    }

    /// Everything that is said about parameters, place by place.
    package var scopes: [ParameterScope] {
        [parameters] + slices.flatMap { [$0.moduleParameters, $0.parameters] + $0.experts.map(\.parameters) }
    }
}
