import TensorCore

/// Which tensors a command works on: those that match an `only` pattern, if there is one, and no `exclude` pattern.
public struct TensorSelection: Sendable {
    public let only: [String]
    public let exclude: [String]
    private let inPatterns: [GlobPattern]
    private let outPatterns: [GlobPattern]

    /// - Parameters:
    ///   - only: shell patterns (`*`, `?`, `[...]`), any of which lets a tensor in; none lets all in.
    ///   - exclude: shell patterns, any of which keeps a tensor out.
    public init(only: [String] = [], exclude: [String] = []) {
        self.only = only
        self.exclude = exclude
        inPatterns = only.map(GlobPattern.init)
        outPatterns = exclude.map(GlobPattern.init)
    }

    public func contains(_ name: TensorName) -> Bool {
        if outPatterns.contains(where: { $0.matches(name.text) }) { return false }
        return inPatterns.isEmpty || inPatterns.contains { $0.matches(name.text) }
    }

    /// Whether a shell pattern matches the whole name; `*` crosses dots and slashes.
    public static func matches(_ name: TensorName, pattern: String) -> Bool { GlobPattern(pattern).matches(name.text) }
}
