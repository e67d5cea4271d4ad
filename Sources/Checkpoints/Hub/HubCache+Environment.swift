import Glibc
import SystemPackage

extension HubCache {
    /// The one that huggingface_hub would use in this process.
    public static var standard: HubCache {
        HubCache { name in getenv(name).map { String(cString: $0) } }
    }

    /// Finds the folder as huggingface_hub does: `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`, which is
    /// `huggingface` in `XDG_CACHE_HOME`, which is `~/.cache`.
    ///
    /// As there, a variable counts once it is set, `~` and `$NAME` in it are expanded, and an empty one is the current folder.
    ///
    /// - Parameter variable: the value of a variable; nil when it is not set.
    public init(environment variable: (String) -> String?) {
        func expanded(_ path: String) -> String {
            Self.expandingVariables(Self.expandingHome(path, variable), variable)
        }
        func joined(_ folder: String, _ name: String) -> String {
            folder.isEmpty || folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
        }
        let caches = variable("XDG_CACHE_HOME") ?? joined(Self.expandingHome("~", variable), ".cache")
        let home = expanded(variable("HF_HOME") ?? joined(caches, "huggingface"))
        let folder = expanded(
            variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE") ?? joined(home, "hub"))
        self.init(FilePath(folder))
    }

    /// Replaces `~` and `~user` at the beginning, as `os.path.expanduser` does.
    private static func expandingHome(_ path: String, _ variable: (String) -> String?) -> String {
        guard path.hasPrefix("~") else { return path }
        let user = path.dropFirst().prefix { $0 != "/" }
        let rest = path.dropFirst(1 + user.count)
        let entry = user.isEmpty ? getpwuid(getuid()) : getpwnam(String(user))
        let listed = entry.flatMap { $0.pointee.pw_dir }.map { String(cString: $0) }
        guard var home = (user.isEmpty ? variable("HOME") : nil) ?? listed else { return path }
        while home.hasSuffix("/") { home.removeLast() }
        return home.isEmpty && rest.isEmpty ? "/" : home + rest
    }

    /// Replaces `$NAME` and `${NAME}` where there is such a variable, as `os.path.expandvars` does.
    private static func expandingVariables(_ path: String, _ variable: (String) -> String?) -> String {
        path.replacing(/\$(?:\{([^}]*)\}|([A-Za-z0-9_]+))/) { match in
            let name = match.output.1 ?? match.output.2 ?? ""
            return variable(String(name)).map { $0[...] } ?? match.output.0
        }
    }
}
