import TensorCore

/// Shell patterns (`*`, `?`, `[...]`) for names of tensors; `*` crosses dots and slashes.
public struct TensorPatterns: Sendable {
    /// As they were written.
    public let texts: [String]
    private let patterns: [GlobPattern]

    public init(_ texts: [String] = []) {
        self.texts = texts
        patterns = texts.map(GlobPattern.init)
    }

    public var isEmpty: Bool { patterns.isEmpty }

    /// Whether any of the patterns matches the whole name.
    public func contains(_ name: TensorName) -> Bool { patterns.contains { $0.matches(name.text) } }

    /// The patterns that match none of the names.
    public func unused(among names: some Sequence<TensorName>) -> [String] {
        zip(texts, patterns).filter { _, pattern in !names.contains { pattern.matches($0.text) } }.map(\.0)
    }
}

/// Which tensors a command works on: those that match an `only` pattern, if there is one, and no `exclude` pattern.
public struct TensorSelection: Sendable {
    public var only: [String] { inPatterns.texts }
    public var exclude: [String] { outPatterns.texts }
    private let inPatterns: TensorPatterns
    private let outPatterns: TensorPatterns

    /// Selects tensors by patterns of names.
    ///
    /// - Parameters:
    ///   - only: shell patterns (`*`, `?`, `[...]`), any of which lets a tensor in; none lets all in.
    ///   - exclude: shell patterns, any of which keeps a tensor out.
    public init(only: [String] = [], exclude: [String] = []) {
        inPatterns = TensorPatterns(only)
        outPatterns = TensorPatterns(exclude)
    }

    public func contains(_ name: TensorName) -> Bool {
        !excludes(name) && (inPatterns.isEmpty || inPatterns.contains(name))
    }

    /// Whether an `exclude` pattern keeps a tensor out.
    public func excludes(_ name: TensorName) -> Bool { outPatterns.contains(name) }

    /// The first of some members that an `only` pattern asks for, and for no tensor beside it: it is wanted by its name.
    func demanded(_ members: [UnreadableMember], beside names: some Sequence<TensorName>) -> UnreadableMember? {
        guard !members.isEmpty else { return nil }
        for pattern in only.map({ TensorPatterns([$0]) })
        where !names.contains(where: { contains($0) && pattern.contains($0) }) {
            if let member = members.first(where: { contains($0.name) && pattern.contains($0.name) }) { return member }
        }
        return nil
    }

    /// Whether a shell pattern matches the whole name; `*` crosses dots and slashes.
    public static func matches(_ name: TensorName, pattern: String) -> Bool { GlobPattern(pattern).matches(name.text) }
}
