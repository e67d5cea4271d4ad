import Glibc
import TensorCore

/// Which tensors a command works on: those that match an `only` pattern, if there is one, and no `exclude` pattern.
public struct TensorSelection: Sendable {
    public let only: [String]
    public let exclude: [String]

    /// - Parameters:
    ///   - only: shell patterns (`*`, `?`, `[...]`), any of which lets a tensor in; none lets all in.
    ///   - exclude: shell patterns, any of which keeps a tensor out.
    public init(only: [String] = [], exclude: [String] = []) {
        self.only = only
        self.exclude = exclude
    }

    public func contains(_ name: TensorName) -> Bool {
        if exclude.contains(where: { Self.matches(name, pattern: $0) }) { return false }
        return only.isEmpty || only.contains { Self.matches(name, pattern: $0) }
    }

    /// Whether a shell pattern matches the whole name; `*` crosses dots and slashes.
    public static func matches(_ name: TensorName, pattern: String) -> Bool { fnmatch(pattern, name.text, 0) == 0 }
}
