import SystemPackage

extension IOError {
    /// Describes a failed system call.
    ///
    /// - Parameters:
    ///   - action: what was attempted, as in "cannot ACTION".
    public init(_ errno: Errno, action: String, path: FilePath) {
        let (code, hint): (String, String?) =
            switch errno {
            case .noSuchFileOrDirectory: ("io.not_found", nil)
            case .permissionDenied, .notPermitted, .readOnlyFileSystem: ("io.permission", nil)
            case .noSpace, .diskQuotaExceeded: ("io.disk_full", "free some space or choose another output folder")
            case .fileExists: ("io.exists", "use --force to replace it")
            case .noMemory: ("io.memory", "lower --memory")
            case .isDirectory: ("io.is_directory", nil)
            default: ("io.failed", nil)
            }
        self.init(
            code: code, message: "cannot \(action): \(errno.localizedText)", file: path.string, hint: hint)
    }
}

extension Errno {
    /// The system's own text, in lower case to stand inside a sentence.
    fileprivate var localizedText: String {
        let text = description
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
