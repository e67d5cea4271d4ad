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

    /// A path that was read from elsewhere, such as one that counts from the folder of a recipe.
    ///
    /// - Parameter isFolder: whether the result becomes a folder there.
    public init(_ path: FilePath, isFolder: Bool) {
        self.path = path
        hasSlash = isFolder
    }

    /// Whether the result becomes a folder, or goes into one; one that exists always stays one.
    public var isFolder: Bool { hasSlash || folderExists(path) }
}
