import SystemPackage

extension IOError {
    /// Describes a failed system call.
    ///
    /// - Parameters:
    ///   - action: what was attempted, as in "cannot ACTION".
    public init(_ errno: Errno, action: String, path: FilePath) {
        let (kind, hint): (Kind, String?) =
            switch errno {
            case .noSuchFileOrDirectory: (.notFound, nil)
            case .permissionDenied, .notPermitted, .readOnlyFileSystem: (.permission, nil)
            case .noSpace, .diskQuotaExceeded: (.diskFull, "free some space or choose another output folder")
            case .fileExists: (.exists, "use --force to replace it")
            case .noMemory: (.memory, "lower --memory")
            case .isDirectory: (.isDirectory, nil)
            default: (.failed, nil)
            }
        self.init(
            kind: kind, message: "cannot \(action): \(errno.localizedText)", file: path.string, hint: hint)
    }
}

extension Errno {
    /// The system's own text, in lower case to stand inside a sentence.
    fileprivate var localizedText: String {
        let text = description
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
