import SystemPackage
import TensorCore

/// A mapping of a recipe, read key by key, so that keys nobody asked for can be reported with their place.
package struct YAMLSection {
    let file: FilePath
    /// What the section is called in messages, such as `resolve`.
    let title: String
    let position: TextPosition
    private let entries: [YAMLEntry]

    /// Takes a node as a section.
    ///
    /// - Parameter hint: what to write where the section is no mapping.
    package init(_ node: YAMLNode, title: String, file: FilePath, hint: String? = nil) throws(RecipeError) {
        guard case .mapping(let own) = node.content else {
            throw RecipeError(
                .badValue, "\(title) must be a mapping of keys to values", file: file, at: node.position, hint: hint)
        }
        self.title = title
        self.file = file
        position = node.position
        var budget = Self.includedMappingLimit
        entries = try Self.entries(own, title: title, file: file, at: position, budget: &budget)
    }

    /// How many mappings one section may take in: aliases of aliases could name one of them any number of times.
    private static let includedMappingLimit = 1000

    /// The entries of a mapping, and behind them those of the mappings under `<<`, whose keys count where there is no such key
    /// before.
    private static func entries(
        _ own: [YAMLEntry], title: String, file: FilePath, at position: TextPosition, budget: inout Int
    ) throws(RecipeError) -> [YAMLEntry] {
        guard own.contains(where: \.key.isMergeKey) else { return own }
        var entries: [YAMLEntry] = []
        var included: [YAMLNode] = []
        for entry in own {
            if !entry.key.isMergeKey {
                entries.append(entry)
            } else if case .sequence(let list) = entry.value.content {
                included += list
            } else {
                included.append(entry.value)
            }
        }
        var known = Set(entries.map(\.key.text))
        for node in included {
            budget -= 1
            guard budget >= 0 else {
                throw RecipeError(
                    .badValue, "\(title) takes in more than \(includedMappingLimit) mappings with <<", file: file,
                    at: position)
            }
            guard case .mapping(let other) = node.content else {
                throw RecipeError(
                    .badValue, "<< in \(title) takes a mapping, or a list of mappings", file: file, at: node.position)
            }
            for entry in try Self.entries(other, title: title, file: file, at: position, budget: &budget)
            where known.insert(entry.key.text).inserted {
                entries.append(entry)
            }
        }
        return entries
    }

    package var keys: [(key: String, position: TextPosition)] { entries.map { ($0.key.text, $0.position) } }

    private func entry(_ key: String) -> YAMLEntry? { entries.first { $0.key.text == key } }
    package func node(_ key: String) -> YAMLNode? { entry(key)?.value }
    /// Whether a key has a value.
    func has(_ key: String) -> Bool { node(key).map { !$0.isNull } ?? false }
    func position(of key: String) -> TextPosition? { entry(key)?.position }

    func section(_ key: String) throws(RecipeError) -> YAMLSection? {
        guard let node = node(key), !node.isNull else { return nil }
        return try YAMLSection(node, title: key, file: file)
    }

    func list(_ key: String) throws(RecipeError) -> [YAMLNode]? {
        guard let node = node(key), !node.isNull else { return nil }
        guard case .sequence(let nodes) = node.content else { throw bad(key, "must be a list") }
        return nodes
    }

    func text(_ key: String) throws(RecipeError) -> String? {
        guard let node = node(key), !node.isNull else { return nil }
        guard let scalar = node.scalar else { throw bad(key, "must be a text") }
        return scalar.text
    }

    /// A text or a list of texts; none without the key.
    func texts(_ key: String) throws(RecipeError) -> [String] {
        guard let node = node(key), !node.isNull else { return [] }
        guard case .sequence(let nodes) = node.content else { return try text(key).map { [$0] } ?? [] }
        var texts: [String] = []
        for element in nodes {
            guard let scalar = element.scalar, !element.isNull else {
                throw bad(key, "must be a text or a list of texts")
            }
            texts.append(scalar.text)
        }
        return texts
    }

    /// A path, relative ones counted from the recipe's folder.
    func path(_ key: String) throws(RecipeError) -> FilePath? {
        guard let text = try text(key) else { return nil }
        return try path(text, of: key)
    }

    /// A path or a list of paths, relative ones counted from the recipe's folder; none without the key.
    func paths(_ key: String) throws(RecipeError) -> [FilePath] {
        var paths: [FilePath] = []
        for text in try texts(key) { paths.append(try path(text, of: key)) }
        return paths
    }

    private func path(_ text: String, of key: String) throws(RecipeError) -> FilePath {
        // The system would take a path only up to a NUL.
        guard !text.isEmpty, !text.unicodeScalars.contains("\0") else { throw bad(key, "must be a path") }
        return FilePath(text).relative(toFolderOf: file)
    }

    func number(_ key: String) throws(RecipeError) -> Double? {
        guard let text = try text(key) else { return nil }
        guard let value = node(key)?.scalar?.number, value.isFinite else {
            throw bad(key, "must be a number, not \"\(text)\"")
        }
        return value
    }

    func integer(_ key: String, in range: ClosedRange<Int>) throws(RecipeError) -> Int? {
        guard let text = try text(key) else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw bad(key, "must be a whole number from \(range.lowerBound) to \(range.upperBound), not \"\(text)\"")
        }
        return value
    }

    func flag(_ key: String) throws(RecipeError) -> Bool? {
        guard let text = try text(key) else { return nil }
        guard let value = node(key)?.scalar?.flag else { throw bad(key, "must be true or false, not \"\(text)\"") }
        return value
    }

    func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ key: String, _ type: Choice.Type
    ) throws(RecipeError) -> Choice? {
        try choice(key, of: type.allCases.map(\.rawValue)).flatMap(Choice.init)
    }

    func choice(_ key: String, of names: [String]) throws(RecipeError) -> String? {
        guard let text = try text(key) else { return nil }
        guard names.contains(text) else {
            throw bad(
                key, "must be \(names.count > 1 ? "one of " : "")\(names.joined(separator: ", ")), not \"\(text)\"")
        }
        return text
    }

    /// An error at a key of this section.
    func bad(_ key: String, _ problem: String) -> RecipeError {
        RecipeError(.badValue, "\(key) \(problem)", file: file, at: position(of: key))
    }

    /// The keys that are not known.
    func unknownKeys(known: [String]) -> [UnknownKey] {
        keys.filter { !known.contains($0.key) }.map { key, position in
            UnknownKey(key: key, position: position, section: self, known: known)
        }
    }
}

/// A key that a section does not know.
struct UnknownKey {
    let key: String
    let position: TextPosition
    let section: YAMLSection
    let known: [String]

    private var problem: String { "unknown key \"\(key)\" in \(section.title)" }
    /// The known key that was most likely meant.
    private var nearest: String? { nearestName(to: key, among: known) }

    /// For sections that know all their keys.
    var error: RecipeError {
        RecipeError(
            .unknownKey, problem, file: section.file, at: position,
            hint: nearest.map { "did you mean \($0)?" } ?? "known keys: \(known.joined(separator: ", "))")
    }

    /// For sections that may have others.
    var warning: Warning {
        Warning(
            RecipeWarning.unknownKey, "\(problem), ignored" + (nearest.map { " (did you mean \($0)?)" } ?? ""),
            file: section.file.string,
            at: position)
    }
}

extension FilePath {
    /// A path as a recipe means it: relative ones count from the recipe's folder.
    package func relative(toFolderOf file: FilePath) -> FilePath {
        isAbsolute ? self : file.removingLastComponent().pushing(self).lexicallyNormalized()
    }
}
