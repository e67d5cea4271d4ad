import Checkpoints
import SystemPackage

/// A path as somebody wrote it for a result: a file, or a folder that is there or ends in a slash.
public struct OutputPlace: Sendable, Hashable {
    public let path: FilePath
    /// Whether it was written with a slash at its end, which paths forget.
    private let hasSlash: Bool

    public init(_ text: String) {
        path = FilePath(text)
        hasSlash = text.hasSuffix("/")
    }

    /// A path below which a folder is made.
    public init(folder path: FilePath) {
        self.path = path
        hasSlash = true
    }

    /// Whether the result becomes a folder, or goes into one; one that exists always stays one.
    public var isFolder: Bool { hasSlash || CheckpointFormat.isFolder(path) }

    /// The place in another folder.
    public func inside(_ folder: FilePath) -> OutputPlace {
        OutputPlace(folder.pushing(path), hasSlash: hasSlash)
    }

    private init(_ path: FilePath, hasSlash: Bool) {
        self.path = path
        self.hasSlash = hasSlash
    }
}
