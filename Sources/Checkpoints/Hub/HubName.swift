import SystemPackage

/// The name of a model on the Hugging Face hub: `organisation/name`, or `name` alone for the oldest models.
///
/// A name has ASCII letters, digits, `-`, `_` and `.`, and neither `--` nor `..`, so that it never leads anywhere as part of a path.
/// Source: `validate_repo_id` and `repo_folder_name` of huggingface_hub.
public struct HubName: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    private static let folderPrefix = "models--"
    private static let separator = "--"

    /// Reads a name; nil for what is none.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy(Self.isPart) else { return nil }
        guard !text.contains(Self.separator), !text.contains(".."), !text.hasSuffix(".git") else { return nil }
        description = text
    }

    /// Reads the name of a folder in the hub's cache: `models--organisation--name`.
    public init?(folderName: String) {
        guard folderName.hasPrefix(Self.folderPrefix) else { return nil }
        self.init(String(folderName.dropFirst(Self.folderPrefix.count)).replacing(Self.separator, with: "/"))
    }

    /// What the folder of the model is called in the hub's cache.
    var folderName: String { Self.folderPrefix + description.replacing("/", with: Self.separator) }

    /// Whether a text begins and ends with a letter, a digit or `_`, and has nothing else but `-` and `.` between.
    private static func isPart(_ text: Substring) -> Bool {
        func isWord(_ byte: UInt8) -> Bool {
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte & 0xDF) || byte == UInt8(ascii: "_")
        }
        guard let first = text.utf8.first, let last = text.utf8.last, text.utf8.count <= 96 else { return false }
        return isWord(first) && isWord(last) && text.utf8.allSatisfy { isWord($0) || "-.".utf8.contains($0) }
    }
}
