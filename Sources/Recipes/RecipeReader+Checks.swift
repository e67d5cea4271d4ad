import Merging
import SystemPackage
import TensorCore

/// Mistakes that recipes often have: each gets a message of its own.
extension RecipeReader {
    /// Warns of keys that are not known in a section, and says of parameters where they belong.
    ///
    /// - Parameter method: nil where parameters are no likely mistake.
    mutating func noteUnknownKeys(of section: YAMLSection, known: [String], method: MethodInfo? = nil) {
        for unknown in section.unknownKeys(known: known) {
            let key = unknown.key
            if key == "layer_range" {
                warn(
                    .noEffect,
                    "layer_range has no effect in \(section.title), ignored (write slices: instead of models:)",
                    at: unknown.position)
            } else if let method, MergeMethods.all.contains(where: { $0.info.hasParameter(key) }) {
                let advice =
                    method.hasParameter(key)
                    ? "write it under parameters:" : "and method \(method.name) has no such parameter"
                warn(
                    .noEffect, "\(key) has no effect in \(section.title) itself, ignored (\(advice))",
                    at: unknown.position)
            } else {
                warnings.append(unknown.warning)
            }
        }
    }

    /// An error about a key that a section lacks, which names the key that was probably meant to be it.
    func missing(
        _ key: String, _ problem: String, of section: YAMLSection, at position: TextPosition?, hint: String
    ) -> RecipeError {
        let meant = section.unknownKeys(known: Self.mergekitKeys + Self.ownKeys).first {
            nearestName(to: $0.key, among: [key]) != nil
        }
        return RecipeError(
            .missingKey, problem, file: path, at: meant?.position ?? position,
            hint: meant.map { "there is no key \"\($0.key.escapingControlCharacters)\": did you mean \(key)?" } ?? hint)
    }

    /// LiNeS and others correct what a merge has changed in the base, also under methods that take none: then the base takes part,
    /// beside the models, among which it may be listed, too.
    ///
    /// - Returns: whether it does.
    func takeBaseForCorrections(
        under method: MethodInfo, common: ParameterScope, in layout: inout RecipeLayout
    ) -> Bool {
        guard let base = layout.base, !method.usesBase else { return false }
        let names = MergeMethods.commonParameters.map(\.name)
        var isCorrected = false
        for place in layout.slices.indices {
            let slice = layout.slices[place]
            let scopes = [slice.parameters, slice.moduleParameters, common]
            guard names.contains(where: { name in scopes.contains { $0[name] != nil } }) else { continue }
            let likeBase = slice.experts.first { $0.model == base } ?? slice.experts.first
            layout.slices[place].base = layout.whole(base)
            layout.slices[place].base?.layers = likeBase?.layers
            isCorrected = true
        }
        return isCorrected
    }

    /// Methods that take no base: mergekit merges a base_model that is not listed like the models that are.
    ///
    /// - Parameter isMeasured: whether the recipe needs the base for something else.
    mutating func decideOnUnusedBase(
        under method: MethodInfo, common: ParameterScope, isMeasured: Bool, in layout: inout RecipeLayout
    ) {
        guard let base = layout.base, !layout.isStacked, !layout.slices.expertPlaces.contains(base), !isMeasured,
            !layout.models.contains(where: { $0.data != nil || $0.head != nil })
        else { return }
        // In mergekit `linear` needs a weight for it, and `passthrough` cannot take a second model.
        let isMerged = method.name == "linear" ? common["weight"] != nil : method.name == "karcher"
        guard isMerged else {
            warn(
                .noEffect, "base_model has no effect under \(method.name)", at: layout.models[base].reference.position)
            return
        }
        warn(
            .baseIsMerged,
            "method \(method.name) knows no base: base_model is merged like the models, as in mergekit (leave it out, or "
                + "list it under models)", at: layout.models[base].reference.position)
        layout.slices[0].experts.append(layout.whole(base))
    }

    /// Makes the names of experts distinct that were made up, and requires it of those that were written.
    ///
    /// - Parameter namesAreFiles: whether names become file names, which are not made up from paths.
    func nameModels(of layout: inout RecipeLayout, namesAreFiles: Bool) throws(RecipeError) {
        var places: [String: [Int]] = [:]
        for place in layout.slices.expertPlaces { places[layout.models[place].name, default: []].append(place) }
        for same in places.values.filter({ $0.count > 1 }).sorted(by: { $0[1] < $1[1] }) {
            guard !namesAreFiles, !same.contains(where: layout.named.contains) else {
                let model = layout.models[same[1]]
                throw RecipeError(
                    .duplicateName, "two models are called \"\(model.name)\"", file: path,
                    at: model.reference.position, hint: "give each a name: of its own")
            }
            for place in same { layout.models[place].name = layout.models[place].reference.text }
        }
    }

    /// Warns where a parameter takes its default that mergekit demands.
    mutating func noteMissingValues(of layout: RecipeLayout, method: MethodInfo, common: ParameterScope) {
        for spec in method.parameters where ["weight", "t"].contains(spec.name) {
            for slice in layout.slices {
                let outer = [slice.parameters, slice.moduleParameters, common]
                let chains = (spec.isPerExpert ? slice.experts.map { [$0.parameters] + outer } : [outer])
                    .map { scopes in scopes.compactMap { $0[spec.name] } }
                let missing = chains.indices.filter { !chains[$0].contains(where: \.saysSomethingAboutAll) }
                guard let first = missing.first else { continue }
                // With no weight at all, every model has the same, which needs no words.
                if spec.isPerExpert, chains.allSatisfy(\.isEmpty) { continue }
                let position = spec.isPerExpert ? slice.experts[first].position : slice.position
                let owner = spec.isPerExpert ? " for \(layout.text(of: slice.experts[first]))" : ""
                let lack =
                    chains[first].isEmpty ? "no \(spec.name) is given" : "\(spec.name) has no value without a filter"
                warn(
                    .missingValue,
                    "\(lack)\(owner), and \(spec.defaultValue) is taken where none applies; mergekit refuses this",
                    at: position)
                break
            }
        }
    }

    /// What a method demands of its models.
    package func check(
        _ layout: RecipeLayout, method: MethodInfo, root: YAMLSection, _ parameters: RecipeParameters
    ) throws(RecipeError) {
        for slice in layout.slices {
            if method.needsBase, slice.base == nil {
                let models = slice.experts.map(layout.text)
                let isPath = method.expertCounts.upperBound == 1
                let advice = isPath && models.count == 2 ? models[0] : "PATH"
                let task = isPath ? "goes from base_model to the other model" : "needs base_model"
                throw RecipeError(
                    .missingKey, "base_model is missing: method \(method.name) \(task)", file: path,
                    at: root.position(of: "merge_method"), hint: "base_model: \(advice)")
            }
            do throws(MergeError) { try method.check(expertCount: slice.experts.count) } catch {
                throw RecipeError(error, file: path, at: slice.position ?? layout.position)
            }
        }
        if layout.slices.count > 1,
            let position = MergeMethods.depthParameters.map(\.name).compactMap({ parameters.positions[$0] }).max()
        {
            throw RecipeError.scalingOfSlices(file: path, at: position)
        }
    }
}

extension RecipeError {
    package static func scalingOfSlices(file: FilePath, at position: TextPosition?) -> RecipeError {
        RecipeError(
            .unsupported, "lines_alpha and lines_beta go by the depth in a whole model, and the recipe has slices",
            file: file, at: position, hint: "give lambda a gradient in every slice")
    }
}

extension MethodInfo {
    fileprivate func hasParameter(_ name: String) -> Bool { parameters.contains { $0.name == name } }
}
