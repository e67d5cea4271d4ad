import SystemPackage
import TensorCore
import Yams

/// A mapping of a recipe, read key by key, so that keys nobody asked for can be reported with their line.
struct YAMLSection {
    let file: FilePath
    /// What the section is called in messages, such as `resolve`.
    let title: String
    let line: Int?
    private typealias Entry = (key: String, value: Node, line: Int?)
    private let entries: [Entry]

    /// - Parameter hint: what to write where the section is no mapping.
    init(_ node: Node, title: String, file: FilePath, hint: String? = nil) throws(RecipeError) {
        guard case .mapping(let mapping) = node else {
            throw RecipeError(
                .badValue, "\(title) must be a mapping of keys to values", file: file, line: node.mark?.line, hint: hint
            )
        }
        var budget = Self.includedMappingLimit
        entries = try Self.entries(of: mapping, title: title, file: file, line: node.mark?.line, budget: &budget)
        self.title = title
        self.file = file
        line = node.mark?.line
    }

    /// How many mappings one section may take in: aliases of aliases could name one of them any number of times.
    private static let includedMappingLimit = 1000

    /// The entries of a mapping, and behind them those of the mappings under `<<`, whose keys count where there is no such key
    /// before.
    private static func entries(
        of mapping: Node.Mapping, title: String, file: FilePath, line: Int?, budget: inout Int
    ) throws(RecipeError) -> [Entry] {
        var entries: [Entry] = []
        var included: [Node] = []
        for (key, value) in mapping {
            guard let scalar = key.scalar else {
                throw RecipeError(.syntax, "a key of \(title) is not a text", file: file, line: key.mark?.line)
            }
            if scalar.string == "<<", scalar.style == .plain {
                if case .sequence(let list) = value { included += list } else { included.append(value) }
            } else {
                entries.append((scalar.string, value, key.mark?.line))
            }
        }
        guard !included.isEmpty else { return entries }
        var known = Set(entries.map(\.key))
        for node in included {
            budget -= 1
            guard budget >= 0 else {
                throw RecipeError(
                    .badValue, "\(title) takes in more than \(includedMappingLimit) mappings with <<", file: file,
                    line: line)
            }
            guard case .mapping(let other) = node else {
                throw RecipeError(
                    .badValue, "<< in \(title) takes a mapping, or a list of mappings", file: file,
                    line: node.mark?.line ?? line)
            }
            for entry in try Self.entries(of: other, title: title, file: file, line: line, budget: &budget)
            where known.insert(entry.key).inserted {
                entries.append(entry)
            }
        }
        return entries
    }

    var keys: [(key: String, line: Int?)] { entries.map { ($0.key, $0.line) } }

    func node(_ key: String) -> Node? { entries.first { $0.key == key }?.value }
    /// Whether a key has a value.
    func has(_ key: String) -> Bool { node(key).map { !$0.isNull } ?? false }
    func line(of key: String) -> Int? { entries.first { $0.key == key }?.line }

    func section(_ key: String) throws(RecipeError) -> YAMLSection? {
        guard let node = node(key), !node.isNull else { return nil }
        return try YAMLSection(node, title: key, file: file)
    }

    func list(_ key: String) throws(RecipeError) -> [Node]? {
        guard let node = node(key), !node.isNull else { return nil }
        guard case .sequence(let sequence) = node else { throw bad(key, "must be a list") }
        return Array(sequence)
    }

    func text(_ key: String) throws(RecipeError) -> String? {
        guard let node = node(key), !node.isNull else { return nil }
        guard let scalar = node.scalar else { throw bad(key, "must be a text") }
        return scalar.string
    }

    /// A text or a list of texts; none without the key.
    func texts(_ key: String) throws(RecipeError) -> [String] {
        guard let node = node(key), !node.isNull else { return [] }
        guard case .sequence(let sequence) = node else { return try text(key).map { [$0] } ?? [] }
        var texts: [String] = []
        for element in sequence {
            guard let scalar = element.scalar, !element.isNull else {
                throw bad(key, "must be a text or a list of texts")
            }
            texts.append(scalar.string)
        }
        return texts
    }

    /// A path, relative ones counted from the recipe's folder.
    func path(_ key: String) throws(RecipeError) -> FilePath? {
        guard let text = try text(key) else { return nil }
        // The system would take a path only up to a NUL.
        guard !text.isEmpty, !text.unicodeScalars.contains("\0") else { throw bad(key, "must be a path") }
        return FilePath(text).relative(toFolderOf: file)
    }

    func number(_ key: String) throws(RecipeError) -> Double? {
        guard let text = try text(key) else { return nil }
        guard let value = Double(text), value.isFinite else { throw bad(key, "must be a number, not \"\(text)\"") }
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
        switch text.lowercased() {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default: throw bad(key, "must be true or false, not \"\(text)\"")
        }
    }

    func choice<Choice: RawRepresentable & CaseIterable>(_ key: String, _ type: Choice.Type) throws(RecipeError)
        -> Choice?
    where Choice.RawValue == String {
        guard let text = try text(key) else { return nil }
        guard let value = Choice(rawValue: text) else {
            throw bad(key, "must be one of \(type.allCases.map(\.rawValue).joined(separator: ", ")), not \"\(text)\"")
        }
        return value
    }

    /// An error at a key of this section.
    func bad(_ key: String, _ problem: String) -> RecipeError {
        RecipeError(.badValue, "\(key) \(problem)", file: file, line: line(of: key))
    }

    /// The keys that are not known.
    func unknownKeys(known: [String]) -> [UnknownKey] {
        keys.filter { !known.contains($0.key) }.map { key, line in
            let nearest = nearestName(to: key, among: known)
            return UnknownKey(
                key: key, nearest: nearest,
                error: RecipeError(
                    .unknownKey, "unknown key \"\(key)\" in \(title)", file: file, line: line,
                    hint: nearest.map { "did you mean \($0)?" } ?? "known keys: \(known.joined(separator: ", "))"))
        }
    }
}

/// A key that a section does not know.
struct UnknownKey {
    let key: String
    /// The known key that was most likely meant.
    let nearest: String?
    /// For sections that know all their keys.
    let error: RecipeError

    /// For sections that may have others.
    var warning: String { "\(error.message), ignored" + (nearest.map { " (did you mean \($0)?)" } ?? "") }
}

extension Node {
    /// An empty value, `~` or `null`.
    var isNull: Bool {
        guard let scalar else { return false }
        return scalar.style == .plain && ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }
}

extension FilePath {
    /// A path as a recipe means it: relative ones count from the recipe's folder.
    func relative(toFolderOf file: FilePath) -> FilePath {
        isAbsolute ? self : file.removingLastComponent().pushing(self).lexicallyNormalized()
    }
}
