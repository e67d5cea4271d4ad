import SystemPackage

/// A base with adapters that are folded into it, as a path: `BASE+ADAPTER`, or with several adapters in their order.
///
/// A path that exists goes first, so that a `+` in a name is one.
public struct AdaptedPath: Hashable, Sendable {
    public private(set) var base: FilePath
    /// At least one.
    public private(set) var adapters: [FilePath]

    /// Takes a path apart.
    ///
    /// - Returns: nil for a path that exists, and for one of which no part in front of a `+` does.
    public init?(_ path: FilePath) {
        guard let parts = Self.parts(of: path.string), parts.count > 1 else { return nil }
        base = parts[0]
        adapters = Array(parts.dropFirst())
    }

    /// Paths that exist, the last of which lies behind the last possible `+`.
    private static func parts(of text: String) -> [FilePath]? {
        guard text.utf8.contains(UInt8(ascii: "+")) else { return fileExists(FilePath(text)) ? [FilePath(text)] : nil }
        if fileExists(FilePath(text)) { return [FilePath(text)] }
        for split in text.plusSplits where fileExists(FilePath(split.last)) {
            if let parts = parts(of: split.first) { return parts + [FilePath(split.last)] }
        }
        return nil
    }

    /// A base, which may have adapters already, with one more.
    static func joining(_ base: FilePath, _ adapter: FilePath) -> FilePath {
        FilePath("\(base.string)+\(adapter.string)")
    }

    /// The base of a path with adapters, or the path itself: where configuration and tokenizer lie.
    public static func base(of path: FilePath) -> FilePath { AdaptedPath(path)?.base ?? path }

    /// A path with what `change` makes of its parts.
    public static func map(_ path: FilePath, _ change: (FilePath) -> FilePath) -> FilePath {
        guard let adapted = AdaptedPath(path) else { return change(path) }
        return adapted.adapters.reduce(change(adapted.base)) { joining($0, change($1)) }
    }
}

extension String {
    /// What stands before and behind each `+` that has something on either side, the last one first.
    var plusSplits: [(first: String, last: String)] {
        indices.reversed().compactMap { place in
            guard self[place] == "+" else { return nil }
            let (first, last) = (self[..<place], self[index(after: place)...])
            return first.isEmpty || last.isEmpty ? nil : (String(first), String(last))
        }
    }
}
