import Glibc
import SystemPackage

/// What another process has to know to do what this one would.
enum ThisProcess {
    /// The program's own file.
    static var executable: FilePath { path(realpath("/proc/self/exe", nil)) ?? "untangle" }

    static var workingFolder: FilePath { path(getcwd(nil, 0)) ?? "." }

    /// Takes over a text that the C library has allocated.
    private static func path(_ text: UnsafeMutablePointer<CChar>?) -> FilePath? {
        guard let text else { return nil }
        defer { free(text) }
        return FilePath(String(cString: text))
    }
}
