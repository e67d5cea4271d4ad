import Merging
import SystemPackage
import TensorCore

/// One of the recipes that a file with lists stands for, and what it chose from them.
public struct RecipeVariant: Sendable {
    public let recipe: Recipe
    /// In the order of the file: `("merge_method", "ties")`, `("lambda", "0.3")`, `("resolve", "none")`.
    public let choices: [Choice]

    /// A key with one of the values that its list has.
    public struct Choice: Sendable, Hashable {
        public let key: String
        public let value: String
        /// The value as a number, of a parameter.
        public let number: Double?

        public init(key: String, value: String, number: Double?) {
            self.key = key
            self.value = value
            self.number = number
        }
    }

    /// The variant with every model found.
    ///
    /// - Throws: as `ModelLocator.locate`.
    public func located(modelsFolder: FilePath?) throws(RecipeError) -> RecipeVariant {
        RecipeVariant(recipe: try ModelLocator(modelsFolder: modelsFolder).locate(recipe), choices: choices)
    }
}

/// Reads recipes that are compared with one another: where `merge_method`, a parameter of the whole merge, `resolve` or `distill` has a list, each of
/// its values is taken in turn.
///
/// In a recipe that is merely carried out, a list among the parameters is a gradient over layers, as in mergekit. Here a gradient is an
/// element of a list: `t: [[0, 0.5, 1]]`.
public enum RecipeVariants {
    /// More merges than anybody waits for.
    private static let limit = 1000

    /// Reads a file of one document.
    ///
    /// - Parameter strict: warnings are errors.
    /// - Returns: at least one, no two of them alike.
    /// - Throws: `RecipeError` with the place at fault, `IOError` when the file cannot be read.
    public static func load(_ path: FilePath, strict: Bool = false) throws -> [RecipeVariant] {
        try parse(RecipeFile.text(of: path), path: path, strict: strict)
    }

    /// Reads a recipe from its text; `path` locates relative paths and names the file in errors.
    ///
    /// - Throws: `RecipeError` with the line at fault.
    public static func parse(
        _ text: String, path: FilePath, strict: Bool = false
    ) throws(RecipeError) -> [RecipeVariant] {
        let documents = try RecipeFile.documents(of: text, path: path)
        guard documents.count == 1 else {
            throw RecipeError(
                .unsupported, "a file of several documents cannot be compared", file: path,
                at: documents[1].position, hint: "carry out the first documents, and compare recipes of their results")
        }
        var drafts = [RecipeDraft(node: documents[0])]
        for key in [["merge_method"], ["resolve"], ["distill"]] { drafts = try spread(drafts, over: key, path) }
        // Which parameters there are is up to the method, which every draft has chosen by now.
        let known = Set(drafts.flatMap(\.parameterNames))
        var all: [RecipeDraft] = []
        for draft in drafts {
            var own = [draft]
            // What another of the methods has is left out; what none has stays, and is warned of like any unknown key.
            for name in draft.keys(of: "parameters") where known.contains(name) {
                if !draft.parameterNames.contains(name) {
                    own = own.map { $0.leavingOut(name, of: "parameters") }
                } else if draft.isList(["parameters", name]) {
                    own = try spread(own, over: ["parameters", name], path)
                }
            }
            all += own
        }
        var seen: Set<[RecipeVariant.Choice]> = []
        var variants: [RecipeVariant] = []
        for draft in all where seen.insert(draft.choices).inserted {
            variants.append(
                RecipeVariant(
                    recipe: try RecipeFile.recipe(from: draft.node, text: text, path: path, strict: strict),
                    choices: draft.choices))
        }
        return variants
    }

    /// Takes every value of a list in every draft.
    private static func spread(
        _ drafts: [RecipeDraft], over key: [String], _ path: FilePath
    ) throws(RecipeError) -> [RecipeDraft] {
        var all: [RecipeDraft] = []
        for draft in drafts {
            let alternatives = draft.alternatives(of: key)
            if let position = draft.position(of: key), draft.isList(key), alternatives.isEmpty {
                throw RecipeError(.badValue, "\(key.last ?? "") has an empty list", file: path, at: position)
            }
            all += draft.isList(key) ? alternatives : [draft]
            guard all.count <= limit else {
                throw RecipeError(
                    .unsupported, "the lists stand for more than \(limit) recipes", file: path, at: draft.node.position)
            }
        }
        return all
    }
}

/// A recipe some of whose lists have been replaced by one of their values.
private struct RecipeDraft {
    var node: YAMLNode
    var choices: [RecipeVariant.Choice] = []

    /// Those of the method, as far as one is named that there is.
    var parameterNames: [String] {
        let method = value(["merge_method"])?.scalar.flatMap { try? MergeMethods.named($0.text).info }
        return method?.parameters.map(\.name) ?? []
    }

    func keys(of section: String) -> [String] {
        guard case .mapping(let entries) = value([section])?.content else { return [] }
        return entries.map(\.key.text)
    }

    func position(of path: [String]) -> TextPosition? { value(path)?.position }

    /// Whether there is a list of alternatives. Lists of conditions, which have filters, and of patterns belong to one value.
    func isList(_ path: [String]) -> Bool {
        guard case .sequence(let elements) = value(path)?.content else { return false }
        guard path[0] == "parameters", let name = path.last else { return true }
        // Patterns of names are a list as they are.
        return Self.patterns.contains(name)
            ? elements.contains(where: \.isSequence) : !elements.contains(where: \.isMapping)
    }

    private static let patterns = Set(
        MergeMethods.all.flatMap { $0.info.parameters.filter { $0.kind == .patterns }.map(\.name) })

    func alternatives(of path: [String]) -> [RecipeDraft] {
        guard case .sequence(let elements) = value(path)?.content else { return [] }
        let unsaid = elements.unsaidKeys
        return elements.map { element in
            var draft = self
            // `none` and its kin stand for doing without.
            let word = element.scalar?.text.lowercased()
            let isStage = path == ["resolve"] || path == ["distill"]
            let isNone = isStage && (element.isNull || word == "none" || word == "false")
            draft.node = node.replacing(path[...], by: isNone ? nil : element)
            let number = element.scalar?.number
            let value =
                isNone
                ? "none"
                : isStage ? element.summary(without: unsaid) ?? (path == ["resolve"] ? "RI" : "yes") : element.text
            draft.choices.append(
                RecipeVariant.Choice(
                    key: path.last ?? "",
                    // `0.2` and `0.20` are one choice.
                    value: number.map { ParameterValue.number($0).description } ?? value, number: number))
            return draft
        }
    }

    func leavingOut(_ name: String, of section: String) -> RecipeDraft {
        var draft = self
        draft.node = node.replacing([section, name], by: nil)
        return draft
    }

    private func value(_ path: [String]) -> YAMLNode? {
        path.reduce(node) { node, key in
            guard case .mapping(let entries) = node?.content else { return nil }
            return entries.first { $0.key.text == key }?.value
        }
    }
}

extension YAMLNode {
    /// The node with another value for a key of a mapping below it, or without the key.
    fileprivate func replacing(_ path: ArraySlice<String>, by value: YAMLNode?) -> YAMLNode {
        guard let key = path.first, case .mapping(let entries) = content else { return self }
        let rest = path.dropFirst()
        return YAMLNode(
            .mapping(
                entries.compactMap { entry in
                    guard entry.key.text == key else { return entry }
                    let changed = rest.isEmpty ? value : entry.value.replacing(rest, by: value)
                    return changed.map { YAMLEntry(key: entry.key, position: entry.position, value: $0) }
                }), at: position)
    }

    /// The value on one line.
    fileprivate var text: String {
        switch content {
        case .scalar(let scalar): scalar.text
        case .sequence(let elements): "[" + elements.map(\.text).joined(separator: ", ") + "]"
        case .mapping(let entries): entries.map { "\($0.key.text) \($0.value.text)" }.joined(separator: ", ")
        }
    }

    /// A section of resolving in a few words.
    fileprivate func summary(without unsaid: Set<String>) -> String? {
        guard case .mapping(let entries) = content else { return nil }
        let said = entries.filter { !unsaid.contains($0.key.text) }
        return said.isEmpty ? nil : said.map { "\($0.key.text) \($0.value.text)" }.joined(separator: ", ")
    }

    fileprivate func text(of key: String) -> String? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key.text == key }?.value.text
    }
}

extension [YAMLNode] {
    /// What sections of resolving need not say to be told apart: inputs that all of them share, and outputs.
    fileprivate var unsaidKeys: Set<String> {
        let auxiliaries = Set(filter(\.isMapping).map { $0.text(of: "auxiliary") })
        return auxiliaries.count > 1 ? ["output"] : ["auxiliary", "output"]
    }
}
