import Merging
import SystemPackage
import TensorCore
import Yams

/// Reads a method's parameters from the sections of a recipe.
///
/// A parameter that the method does not have, or that has no effect where it stands, is a warning: public recipes are full of
/// keys without effect, such as `int8_mask`.
struct RecipeParameters {
    let method: MethodInfo
    let file: FilePath
    private(set) var warnings: [String] = []
    /// Where a parameter was last spoken of, by its name.
    private(set) var lines: [String: Int] = [:]

    init(method: MethodInfo, file: FilePath) {
        self.method = method
        self.file = file
    }

    /// - Parameter ofOneModel: whether the section stands under a model, where only parameters of single experts count.
    mutating func scope(in section: YAMLSection?, ofOneModel: Bool = false) throws(RecipeError) -> ParameterScope {
        guard let section else { return [:] }
        let names = method.parameters.map(\.name)
        var scope: ParameterScope = [:]
        for (key, line) in section.keys {
            guard let spec = method.parameters.first(where: { $0.name == key }) else {
                let hint = nearestName(to: key, among: names).map { " (did you mean \($0)?)" } ?? ""
                warn(line, "method \(method.name) has no parameter \"\(key)\", ignored\(hint)")
                continue
            }
            guard spec.isPerExpert || !ofOneModel else {
                warn(
                    line,
                    "\(key) holds for all models and has no effect under one of them, ignored (write it under the "
                        + "parameters of the slice or of the whole recipe)")
                continue
            }
            guard let node = section.node(key) else { continue }
            scope[key] = try setting(of: spec, from: node)
            if scope[key] != nil { lines[key] = line }
        }
        return scope
    }

    private mutating func warn(_ line: Int?, _ text: String) {
        warnings.append((line.map { "line \($0): " } ?? "") + text)
    }

    /// What is said about a parameter; nil for nothing.
    private mutating func setting(of spec: ParameterSpec, from node: Node) throws(RecipeError) -> ParameterSetting? {
        switch node {
        case .mapping: return .cases(try cases(of: spec, from: [node]))
        case .sequence(let list) where spec.kind != .patterns && list.contains(where: { $0.mapping != nil }):
            return .cases(try cases(of: spec, from: Array(list)))
        default: return try plainSetting(of: spec, from: node)
        }
    }

    private mutating func cases(
        of spec: ParameterSpec, from nodes: [Node]
    ) throws(RecipeError) -> [ParameterSetting.Case] {
        var cases: [ParameterSetting.Case] = []
        for node in nodes {
            guard node.mapping != nil else {
                throw bad(spec, node, "mixes values with cases; give the last value as { value: ... }")
            }
            let section = try YAMLSection(node, title: "a case of \(spec.name)", file: file)
            for unknown in section.unknownKeys(known: ["filter", "value"]) { warnings.append(unknown.warning) }
            guard let value = section.node("value"), !value.isNull else {
                throw RecipeError(
                    .missingKey, "a case of \(spec.name) has no value", file: file, line: section.line,
                    hint: "- { filter: PART OF A NAME, value: ... }")
            }
            guard let setting = try plainSetting(of: spec, from: value) else { continue }
            cases.append(ParameterSetting.Case(filter: try section.text("filter"), setting: setting))
        }
        return cases
    }

    /// A value or a gradient.
    private mutating func plainSetting(of spec: ParameterSpec, from node: Node) throws(RecipeError) -> ParameterSetting?
    {
        if node.isNull { return nil }
        if let scalar = node.scalar { return .value(try accept(value(of: scalar, for: spec), for: spec, at: node)) }
        guard case .sequence(let list) = node else {
            throw bad(spec, node, "takes \(spec.expectation), or a list of values from the first layer to the last")
        }
        guard spec.kind != .path else {
            throw bad(spec, node, "takes one path; give each model its own under its parameters")
        }
        var values: [ParameterValue] = []
        for element in list {
            guard let scalar = element.scalar else { throw bad(spec, element, "takes \(spec.expectation)") }
            let value = value(of: scalar, for: spec)
            values.append(spec.kind == .patterns ? value : try accept(value, for: spec, at: element))
        }
        // As in mergekit, where an empty list says nothing.
        guard !values.isEmpty else {
            warn(node.mark?.line, "\(spec.name) is an empty list, which says nothing")
            return nil
        }
        return spec.kind == .patterns ? .value(try accept(.list(values), for: spec, at: node)) : .gradient(values)
    }

    private func value(of scalar: Node.Scalar, for spec: ParameterSpec) -> ParameterValue {
        let text = scalar.string
        switch spec.kind {
        // YAML takes `1e-3` for a text, and so do older versions of mergekit.
        case .number, .wholeNumber: return Double(text).map { .number($0) } ?? .text(text)
        case .flag:
            // Python's YAML, in which mergekit's recipes are written, knows more words for true and false than we write.
            switch text.lowercased() {
            case "true", "yes", "on", "1": return .flag(true)
            case "false", "no", "off", "0": return .flag(false)
            default: return .text(text)
            }
        case .path:
            return .text(text.isEmpty ? text : FilePath(text).relative(toFolderOf: file).string)
        case .choice, .patterns: return .text(text)
        }
    }

    private func accept(
        _ value: ParameterValue, for spec: ParameterSpec, at node: Node
    ) throws(RecipeError) -> ParameterValue {
        do throws(MergeError) { return try spec.accept(value) } catch {
            throw RecipeError(error, file: file, line: node.mark?.line)
        }
    }

    private func bad(_ spec: ParameterSpec, _ node: Node, _ problem: String) -> RecipeError {
        RecipeError(.badValue, "\(spec.name) \(problem)", file: file, line: node.mark?.line)
    }
}
