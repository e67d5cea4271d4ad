import Merging
import SystemPackage
import TensorCore

/// Reads a method's parameters from the sections of a recipe.
///
/// A parameter that the method does not have, or that has no effect where it stands, is a warning: public recipes are full of
/// keys without effect, such as `int8_mask`.
struct RecipeParameters {
    let method: MethodInfo
    let file: FilePath
    private(set) var warnings: [Warning] = []
    /// Where a parameter was last spoken of, by its name.
    private(set) var positions: [String: TextPosition] = [:]

    init(method: MethodInfo, file: FilePath) {
        self.method = method
        self.file = file
    }

    /// Reads the parameters of a section.
    ///
    /// - Parameter ofOneModel: whether the section stands under a model, where only parameters of single experts count.
    mutating func scope(in section: YAMLSection?, ofOneModel: Bool = false) throws(RecipeError) -> ParameterScope {
        guard let section else { return [:] }
        let names = method.parameters.map(\.name)
        var scope: ParameterScope = [:]
        for (key, position) in section.keys {
            guard let spec = method.parameters.first(where: { $0.name == key }) else {
                let hint = nearestName(to: key, among: names).map { " (did you mean \($0)?)" } ?? ""
                warn(
                    .unknownParameter, "method \(method.name) has no parameter \"\(key)\", ignored\(hint)", at: position
                )
                continue
            }
            guard spec.isPerExpert || !ofOneModel else {
                warn(
                    .noEffect,
                    "\(key) holds for all models and has no effect under one of them, ignored (write it under the "
                        + "parameters of the slice or of the whole recipe)", at: position)
                continue
            }
            guard let node = section.node(key) else { continue }
            guard !node.isNull else {
                throw RecipeError(
                    .badValue, "\(key) has no value: it takes \(spec.expectation)", file: file, at: position,
                    hint: "write the value behind the colon, or leave the key out")
            }
            scope[key] = try setting(of: spec, from: node)
            if scope[key] != nil { positions[key] = position }
        }
        return scope
    }

    private mutating func warn(_ code: RecipeWarning, _ problem: String, at position: TextPosition) {
        warnings.append(Warning(code, problem, file: file.string, at: position))
    }

    /// What is said about a parameter; nil for nothing.
    private mutating func setting(of spec: ParameterSpec, from node: YAMLNode) throws(RecipeError) -> ParameterSetting?
    {
        switch node.content {
        case .mapping: return .cases(try cases(of: spec, from: [node]))
        case .sequence(let list) where spec.kind != .patterns && list.contains(where: \.isMapping):
            return .cases(try cases(of: spec, from: list))
        default: return try plainSetting(of: spec, from: node)
        }
    }

    private mutating func cases(
        of spec: ParameterSpec, from nodes: [YAMLNode]
    ) throws(RecipeError) -> [ParameterSetting.Case] {
        var cases: [ParameterSetting.Case] = []
        for node in nodes {
            guard node.isMapping else {
                throw bad(spec, node, "mixes values with cases; give the last value as { value: ... }")
            }
            let section = try YAMLSection(node, title: "a case of \(spec.name)", file: file)
            for unknown in section.unknownKeys(known: ["filter", "value"]) { warnings.append(unknown.warning) }
            guard let value = section.node("value"), !value.isNull else {
                throw RecipeError(
                    .missingKey, "a case of \(spec.name) has no value", file: file, at: section.position,
                    hint: "- { filter: PART OF A NAME, value: ... }")
            }
            guard let setting = try plainSetting(of: spec, from: value) else { continue }
            cases.append(ParameterSetting.Case(filter: try section.text("filter"), setting: setting))
        }
        return cases
    }

    /// A value or a gradient.
    private mutating func plainSetting(
        of spec: ParameterSpec, from node: YAMLNode
    ) throws(RecipeError) -> ParameterSetting? {
        if let scalar = node.scalar { return .value(try accept(value(of: scalar, for: spec), for: spec, at: node)) }
        guard case .sequence(let list) = node.content else {
            throw bad(spec, node, "takes \(spec.expectation), or a list of values from the first layer to the last")
        }
        guard spec.kind != .path else {
            throw bad(spec, node, "takes one path; give each model its own under its parameters")
        }
        var values: [ParameterValue] = []
        for element in list {
            guard let scalar = element.scalar, !scalar.isNull else {
                throw bad(
                    spec, element, "takes \(spec.expectation)" + (element.isNull ? ", and here is no value" : ""))
            }
            let value = value(of: scalar, for: spec)
            values.append(spec.kind == .patterns ? value : try accept(value, for: spec, at: element))
        }
        // As in mergekit, where an empty list says nothing.
        guard !values.isEmpty else {
            warn(.noEffect, "\(spec.name) is an empty list, which says nothing", at: node.position)
            return nil
        }
        return spec.kind == .patterns ? .value(try accept(.list(values), for: spec, at: node)) : .gradient(values)
    }

    private func value(of scalar: YAMLScalar, for spec: ParameterSpec) -> ParameterValue {
        let text = scalar.text
        switch spec.kind {
        case .number, .wholeNumber, .numberOr: return scalar.number.map { .number($0) } ?? .text(text)
        case .flag:
            switch text {
            case "1": return .flag(true)
            case "0": return .flag(false)
            default: return scalar.flag.map { .flag($0) } ?? .text(text)
            }
        case .path:
            return .text(text.isEmpty ? text : FilePath(text).relative(toFolderOf: file).string)
        case .choice, .patterns: return .text(text)
        }
    }

    private func accept(
        _ value: ParameterValue, for spec: ParameterSpec, at node: YAMLNode
    ) throws(RecipeError) -> ParameterValue {
        do throws(MergeError) { return try spec.accept(value) } catch {
            throw RecipeError(error, file: file, at: node.position)
        }
    }

    private func bad(_ spec: ParameterSpec, _ node: YAMLNode, _ problem: String) -> RecipeError {
        RecipeError(.badValue, "\(spec.name) \(problem)", file: file, at: node.position)
    }
}
