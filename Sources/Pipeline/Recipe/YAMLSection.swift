import SystemPackage
import TensorCore
import Yams

/// A mapping of a recipe, read key by key, so that keys nobody asked for can be reported with their line.
struct YAMLSection {
    let file: FilePath
    /// What the section is called in messages, such as `resolve`.
    let title: String
    let line: Int?
    private let entries: [(key: String, value: Node, line: Int?)]

    init(_ node: Node, title: String, file: FilePath) throws(RecipeError) {
        guard case .mapping(let mapping) = node else {
            throw RecipeError(
                .badValue, "\(title) must be a mapping of keys to values", file: file, line: node.mark?.line)
        }
        var entries: [(key: String, value: Node, line: Int?)] = []
        for (key, value) in mapping {
            guard let text = key.scalar?.string else {
                throw RecipeError(.syntax, "a key of \(title) is not a text", file: file, line: key.mark?.line)
            }
            entries.append((text, value, key.mark?.line))
        }
        self.entries = entries
        self.title = title
        self.file = file
        line = node.mark?.line
    }

    var keys: [(key: String, line: Int?)] { entries.map { ($0.key, $0.line) } }

    func node(_ key: String) -> Node? { entries.first { $0.key == key }?.value }
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
