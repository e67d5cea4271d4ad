import Checkpoints
import Merging
import TensorCore

/// Writes the recipe of a merge that was given on the command line, so that its folder says how it was made.
package enum RecipeText {
    /// The recipe of a merge that was given on the command line.
    ///
    /// - Parameter experts: names and paths.
    package static func yaml(
        method: MethodInfo, base: String?, experts: [(name: String, path: String)], parameters: MergeParameters,
        keepBase: [String], map: NameMap, outputDType: DType?
    ) -> String {
        var lines = [
            "# Written from a command line; paths count from the folder it ran in.", "merge_method: \(method.name)",
        ]
        if let base { lines.append("base_model: \(quoted(base))") }
        lines.append("models:")
        for (place, expert) in experts.enumerated() {
            lines += ["  - model: \(quoted(expert.path))", "    name: \(quoted(expert.name))"]
            let own = own(parameters, of: place, count: experts.count, method)
            if !own.isEmpty {
                lines.append("    parameters:")
                lines += own.map { "      \($0.name): \(yaml($0.value))" }
            }
        }
        let common = method.parameters.compactMap { spec -> String? in
            guard let value = parameters.values[spec.name], !(spec.isPerExpert && value.isList) else { return nil }
            return "  \(spec.name): \(yaml(value))"
        }
        if !common.isEmpty { lines += ["parameters:"] + common }
        if !keepBase.isEmpty { lines.append("keep_base: [\(keepBase.map(quoted).joined(separator: ", "))]") }
        if !map.rules.isEmpty { lines.append("map: [\(map.rules.map(quoted).joined(separator: ", "))]") }
        if let name = outputDType?.configName { lines.append("dtype: \(name)") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// What holds for one expert. mergekit has no default weight, so ours is written out.
    private static func own(
        _ parameters: MergeParameters, of expert: Int, count: Int, _ method: MethodInfo
    ) -> [(name: String, value: ParameterValue)] {
        method.parameters.filter(\.isPerExpert).compactMap { spec in
            if expert < parameters.experts.count, let value = parameters.experts[expert][spec.name] {
                return (spec.name, value)
            }
            switch parameters.values[spec.name] {
            case .list(let values): return values.count == count ? (spec.name, values[expert]) : nil
            case .some: return nil
            case nil: return spec.name == "weight" ? (spec.name, spec.defaultValue) : nil
            }
        }
    }

    private static func yaml(_ value: ParameterValue) -> String {
        switch value {
        case .text(let text): quoted(text)
        case .list(let values): "[" + values.map(yaml).joined(separator: ", ") + "]"
        case .number, .flag: value.description
        }
    }

    /// A text as YAML in double quotes, which JSON's form is as well.
    private static func quoted(_ text: String) -> String { JSONEditor.quoted(text) }
}

extension ParameterValue {
    fileprivate var isList: Bool { if case .list = self { true } else { false } }
}
